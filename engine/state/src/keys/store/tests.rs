//! Keys that are kept: found at once, changed at once, there again after an end; and what was done to them is told.

use super::*;
use std::path::PathBuf;
use tempfile::TempDir;

fn act(now: i64) -> Act<'static> {
    Act { actor: "admin", now, once: None }
}

fn named(name: &str) -> KeySettings {
    KeySettings { name: name.to_owned(), team: Some("web".to_owned()), ..KeySettings::default() }
}

fn store() -> (TempDir, PathBuf, KeyStore) {
    let folder = tempfile::tempdir().unwrap();
    let path = KeyStore::beside(&folder.path().join("state"));
    let store = KeyStore::default();
    store.open(&path).unwrap();
    (folder, path, store)
}

fn found(store: &KeyStore, key: &str, now: i64) -> Option<String> {
    store.lookup(key, None, now).and_then(|caller| caller.key.as_deref().map(str::to_owned))
}

#[test]
fn a_key_is_good_from_its_making_to_its_end_and_over_an_end_of_the_process() {
    let (folder, path, store) = store();
    assert_eq!(found(&store, "wr_one", 0), None);
    let Created::New(key) = store.create("k1", named("app"), "wr_one", act(5)).unwrap() else { panic!() };
    assert_eq!((key.prefix.as_str(), key.version, key.created), ("wr_one", 1, 5));
    assert_eq!(found(&store, "wr_one", 0).as_deref(), Some("app"));
    drop(store);
    let store = KeyStore::default();
    store.open(&path).unwrap();
    assert_eq!(found(&store, "wr_one", 0).as_deref(), Some("app"));
    assert_eq!(store.get("k1").unwrap(), key);
    for (disabled, want) in [(true, None), (false, Some("app"))] {
        store.change("k1", None, act(6), |settings| settings.disabled = disabled).unwrap();
        assert_eq!(found(&store, "wr_one", 0).as_deref(), want);
    }
    store.change("k1", None, act(7), |settings| settings.expires = Some("1970-01-02".to_owned())).unwrap();
    assert_eq!(found(&store, "wr_one", 86_399).as_deref(), Some("app"));
    assert_eq!(found(&store, "wr_one", 86_400), None);
    store.delete("k1", None, act(8)).unwrap();
    assert_eq!(found(&store, "wr_one", 0), None);
    assert_eq!(store.get("k1"), Err(StateError::NoSuchKey));
    drop(folder);
}

#[test]
fn a_key_that_is_rotated_is_good_beside_the_new_one_for_as_long_as_was_said() {
    let (_folder, path, store) = store();
    store.create("k1", named("app"), "wr_one", act(100)).unwrap();
    let rotated = store.rotate("k1", Some(1), "wr_two", 50, act(100)).unwrap();
    assert_eq!((rotated.version, rotated.previous_until()), (2, Some(150)));
    drop(store);
    let store = KeyStore::default();
    store.open(&path).unwrap();
    assert_eq!(found(&store, "wr_one", 149).as_deref(), Some("app"));
    assert_eq!(found(&store, "wr_one", 150), None);
    assert_eq!(found(&store, "wr_two", 150).as_deref(), Some("app"));
    // Rotated anew, the first is no key any more; without an overlap neither is the second.
    store.rotate("k1", None, "wr_three", 50, act(110)).unwrap();
    assert_eq!((found(&store, "wr_one", 111), found(&store, "wr_two", 111).as_deref()), (None, Some("app")));
    store.rotate("k1", None, "wr_four", 0, act(120)).unwrap();
    assert_eq!(
        (found(&store, "wr_three", 121), found(&store, "wr_four", 121).as_deref()),
        (None, Some("app"))
    );
}

#[test]
fn what_was_changed_meanwhile_is_not_changed_again_and_names_are_taken_once() {
    let (_folder, _path, store) = store();
    store.create("k1", named("app"), "wr_one", act(1)).unwrap();
    assert_eq!(store.create("k2", named("app"), "wr_two", act(1)), Err(StateError::KeyNameTaken));
    store.create("k2", named("other"), "wr_two", act(1)).unwrap();
    let rename = |name: &'static str| move |settings: &mut KeySettings| settings.name = name.to_owned();
    assert_eq!(store.change("k2", None, act(2), rename("app")), Err(StateError::KeyNameTaken));
    assert_eq!(store.change("k1", Some(1), act(2), rename("app-2")).unwrap().version, 2);
    assert_eq!(store.change("k1", Some(1), act(2), rename("app-3")), Err(StateError::Outdated));
    assert_eq!(store.delete("k1", Some(1), act(2)), Err(StateError::Outdated));
    // The name that it had is free again, and what was refused is not half done.
    store.create("k3", named("app"), "wr_three", act(3)).unwrap();
    assert_eq!(found(&store, "wr_one", 0).as_deref(), Some("app-2"));
    assert_eq!(store.change("none", None, act(3), |_| {}), Err(StateError::NoSuchKey));
    for settings in [
        named(""),
        named("a\nb"),
        KeySettings { expires: Some("soon".to_owned()), ..named("x") },
        KeySettings { operations: vec!["chatt".to_owned()], ..named("x") },
        KeySettings { networks: vec!["10.0.0.0/99".to_owned()], ..named("x") },
        KeySettings { models: vec!["a*b".to_owned()], ..named("x") },
    ] {
        let made = store.create("k4", settings, "wr_x", act(3));
        assert!(matches!(made, Err(StateError::BadKey(_))), "{made:?}");
    }
    assert_eq!(store.list("", 10, |_| true).unwrap().len(), 3);
}

#[test]
fn a_request_that_is_sent_again_makes_one_key() {
    let (_folder, _path, store) = store();
    let once = |wish: u8, now: i64| Act { once: Some(("abc", [wish; 32])), ..act(now) };
    let Created::New(first) = store.create("k1", named("app"), "wr_one", once(1, 10)).unwrap() else {
        panic!()
    };
    assert_eq!(store.create("k2", named("app"), "wr_two", once(1, 20)), Ok(Created::Before(first)));
    assert_eq!(found(&store, "wr_two", 20), None);
    assert_eq!(store.create("k2", named("else"), "wr_two", once(2, 20)), Err(StateError::OtherRequest));
    // A day later it is another request.
    assert!(matches!(store.create("k2", named("else"), "wr_two", once(2, 86_420)), Ok(Created::New(_))));
    assert_eq!(store.audit(0, 10).unwrap().0.len(), 2);
}

#[test]
fn lists_go_on_where_they_ended() {
    let (_folder, _path, store) = store();
    for n in 0..7 {
        store.create(&format!("k{n}"), named(&format!("app-{n}")), &format!("wr_{n}"), act(n)).unwrap();
    }
    let (mut after, mut all) = (String::new(), Vec::new());
    loop {
        let page = store.list(&after, 3, |key| key.settings.name != "app-3").unwrap();
        let Some(last) = page.last() else { break };
        after.clone_from(&last.id);
        all.extend(page.iter().map(|key| key.id.clone()));
    }
    assert_eq!(all, ["k0", "k1", "k2", "k4", "k5", "k6"]);
}

#[test]
fn what_was_done_is_a_chain_that_shows_what_was_changed_in_it() {
    let (_folder, path, store) = store();
    store.create("k1", named("app"), "wr_one", act(1)).unwrap();
    store.change("k1", None, act(2), |settings| settings.team = None).unwrap();
    store.rotate("k1", None, "wr_two", 0, act(3)).unwrap();
    store.delete("k1", None, Act { actor: "ann", ..act(4) }).unwrap();
    let (entries, chain) = store.audit(0, 10).unwrap();
    assert_eq!(chain, Chain::Holds);
    let told: Vec<_> = entries.iter().map(|entry| (entry.seq, entry.at, entry.action.as_str())).collect();
    assert_eq!(
        told,
        [(1, 1, "key.create"), (2, 2, "key.change"), (3, 3, "key.rotate"), (4, 4, "key.delete")]
    );
    assert_eq!(entries[3].actor, "ann");
    let text = serde_json::to_string(&entries).unwrap();
    assert!(!text.contains("wr_") && !text.contains("blake3:"), "{text}");
    // In pages, each bound to the one before.
    for after in 0..4 {
        let (page, chain) = store.audit(after, 2).unwrap();
        assert_eq!((page[0].seq, chain), (after + 1, Chain::Holds));
    }
    assert_eq!(store.audit(4, 2).unwrap(), (vec![], Chain::Holds));
    drop(store);
    // One is changed, one is taken out.
    for (seq, change, want) in [(2_u64, true, Chain::BrokenAt(2)), (2, false, Chain::BrokenAt(3))] {
        let database = database::open(&path, OPENING, |_| Ok(())).unwrap();
        let writing = database.begin_write().unwrap();
        {
            let mut table = writing.open_table(AUDIT).unwrap();
            let mut entry = entries[1].clone();
            entry.actor = "nobody".to_owned();
            match change {
                true => drop(table.insert(seq, &serde_json::to_vec(&entry).unwrap()[..]).unwrap()),
                false => drop(table.remove(seq).unwrap()),
            }
        }
        writing.commit().unwrap();
        drop(database);
        let store = KeyStore::default();
        store.open(&path).unwrap();
        assert_eq!(store.audit(0, 10).unwrap().1, want);
    }
}

#[test]
fn without_a_file_no_key_is_made() {
    let store = KeyStore::default();
    assert_eq!(store.create("k1", named("app"), "wr_one", act(1)), Err(StateError::KeysNotKept));
    assert_eq!(found(&store, "wr_one", 0), None);
}
