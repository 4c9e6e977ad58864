use super::*;

fn caller(key: Option<&str>, team: Option<&str>) -> Caller {
    Caller { key: key.map(Arc::from), team: team.map(Arc::from), ..Caller::default() }
}

fn thing(id: &str) -> Minted {
    Minted { provider: "lab".into(), model: "fast".into(), kind: Kind::Requests, id: id.to_owned() }
}

#[test]
fn an_id_keeps_its_prefix_hides_the_rest_and_opens_for_its_owner_alone() {
    let ids = MintedIds::default();
    let owner = owner_of(Some(&caller(Some("web"), None)));
    for (id, prefix) in
        [("file-abc", "file-w1"), ("resp_0a1b", "resp_w1"), ("batch_x", "batch_w1"), ("17", "w1")]
    {
        let shown = ids.seal(&owner, &thing(id)).unwrap();
        assert!(shown.starts_with(prefix) && !shown.contains("lab"), "{shown}");
        assert!(shown.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{shown}");
        assert_eq!(ids.seal(&owner, &thing(id)).unwrap(), shown, "the same each time");
        assert_eq!(ids.unseal(&owner, &shown).unwrap(), thing(id));
        for other in [
            None,
            Some(caller(Some("app"), None)),
            Some(caller(None, Some("web"))),
            Some(caller(Some("web"), Some("web"))),
        ] {
            assert_eq!(ids.unseal(&owner_of(other.as_ref()), &shown), None);
        }
        assert_eq!(MintedIds::default().unseal(&owner, &shown), None, "another secret");
    }
}

#[test]
fn what_was_changed_or_made_up_opens_nothing() {
    let ids = MintedIds::default();
    let owner = owner_of(None);
    let shown = ids.seal(&owner, &thing("file-abc")).unwrap();
    for at in 0..shown.len() {
        let mut bytes = shown.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(ids.unseal(&owner, std::str::from_utf8(&bytes).unwrap()), None, "byte {at}");
    }
    for made_up in ["", "file-abc", "file-w1", "w1", "file-w1AAAA", "resp_", "-w1", "é_w1"] {
        assert_eq!(ids.unseal(&owner, made_up), None, "{made_up}");
    }
    let other = shown.replacen("file-", "batch_", 1);
    assert_eq!(ids.unseal(&owner, &other), None, "of another sort");
}

#[test]
fn what_is_sealed_and_known_outlives_a_restart_and_is_shared_by_processes_with_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = MintedIds::beside(&folder.path().join("state"));
    let (one, two) = (MintedIds::default(), MintedIds::default());
    let mine = Owned { owner: owner_of(None), kind: Kind::Requests };
    one.open(&path).unwrap();
    two.open(&path).unwrap();
    let shown = one.seal(&mine.owner, &thing("file-abc")).unwrap();
    assert_eq!(two.unseal(&mine.owner, &shown), Some(thing("file-abc")));
    one.keep("lab", "file-abc", mine, 1).unwrap();
    two.keep("lab", "file-abc", Owned { owner: [7; 32], kind: Kind::Plain }, 2).unwrap();
    assert!(one.first("lab", "file-out", 1).unwrap());
    assert!(!two.first("lab", "file-out", 1).unwrap());
    drop((one, two));
    let again = MintedIds::default();
    again.open(&path).unwrap();
    assert_eq!(again.unseal(&mine.owner, &shown), Some(thing("file-abc")));
    assert_eq!(again.owner("lab", "file-abc").unwrap(), Some(mine), "who is told first stays");
    assert_eq!(again.owner("other", "file-abc").unwrap(), None);
    assert!(!again.first("lab", "file-out", 1).unwrap());
    again.forget("lab", "file-abc").unwrap();
    assert_eq!(again.owner("lab", "file-abc").unwrap(), None);
}

#[test]
fn without_a_file_things_are_known_in_memory_and_a_secret_may_be_shared() {
    let (one, two) = (MintedIds::default(), MintedIds::default());
    let mine = Owned { owner: owner_of(None), kind: Kind::Plain };
    one.keep("lab", "file-abc", mine, 1).unwrap();
    assert_eq!(one.owner("lab", "file-abc").unwrap(), Some(mine));
    assert_eq!((one.first("lab", "x", 1).unwrap(), one.first("lab", "x", 1).unwrap()), (true, false));
    one.share("a secret");
    two.share("a secret");
    let shown = one.seal(&mine.owner, &thing("batch_1")).unwrap();
    assert_eq!(two.unseal(&mine.owner, &shown), Some(thing("batch_1")));
    let folder = tempfile::tempdir().unwrap();
    two.open(&folder.path().join("minted")).unwrap();
    assert_eq!(two.unseal(&mine.owner, &shown), Some(thing("batch_1")), "the file's secret is another");
}
