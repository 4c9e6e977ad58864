use super::*;
use crate::guard::pii::find::resolve;

fn found(kinds: &[Kind], text: &str) -> Vec<(&'static str, String)> {
    let regions = ["US", "DE"].into_iter().filter_map(Region::new).collect();
    let rules = Rules::new(Kinds::of(kinds), regions, Vec::new());
    let mut finds = Vec::new();
    rules.scan(text, &mut finds);
    resolve(&mut finds);
    finds
        .iter()
        .map(|find| {
            let What::Known(kind) = find.what else { panic!("{find:?}") };
            (kind.name(), text[find.start..find.end].to_owned())
        })
        .collect()
}

/// Each text holds the find between `[` and `]`, or nothing.
fn check(kinds: &[Kind], texts: &[&str]) {
    for marked in texts {
        let text = marked.replace(['⟦', '⟧'], "");
        let want: Vec<&str> =
            marked.split('⟦').skip(1).map(|part| part.split('⟧').next().unwrap_or_default()).collect();
        let got: Vec<String> = found(kinds, &text).into_iter().map(|(_, value)| value).collect();
        assert_eq!(got, want, "{text}");
    }
}

#[test]
fn finds_email_addresses() {
    check(
        &[Kind::Email],
        &[
            "write to ⟦bob@example.com⟧.",
            "⟦a.b+tag@sub.example.co.uk⟧, please",
            "<⟦jo_e@x-y.io⟧> and **⟦k@example.org⟧**",
            "mailto:⟦info@bücher.de⟧?subject=x",
            "(⟦müller@example.de⟧)",
            "写信给⟦li@example.cn⟧谢谢",
            "\"⟦o'brien@example.ie⟧\"",
            "é⟦⟧".trim_end_matches("⟦⟧"),
            "user@localhost",
            "a@b.c",
            "@mention and me @ home.example",
            "logo@2x.png",
            "package@1.2.3",
            "git@github.com:a/b.git",
            "x@-a.com x@a..com .@.",
        ],
    );
}

#[test]
fn finds_phone_numbers() {
    check(
        &[Kind::Phone],
        &[
            "call ⟦+49 30 901820⟧ now",
            "⟦+1 (212) 555-0123⟧",
            "⟦(212) 555-0123⟧ or ⟦212-555-0199⟧",
            "my number is ⟦555-123-4567⟧.",
            "Tel. ⟦030 901820⟧",
            "phone: ⟦2125550123⟧",
            "⟦+442079460958⟧, ⟦+33 1 42 68 53 00⟧",
            "⟦0049 30 901820⟧",
            "⟦+1 212 555 0123⟧ 2024",
            "2024-01-15 10:22:33",
            "order 2125550123",
            "1700000000",
            "version 1.2.3.4567890",
            "+12 34",
            "192.168.100.200",
            "123-456-7890123",
            "012345678901234567890",
        ],
    );
}

#[test]
fn finds_payment_cards() {
    check(
        &[Kind::Card],
        &[
            "card ⟦4111 1111 1111 1111⟧ exp 12/30",
            "⟦4111-1111-1111-1111⟧",
            "⟦5555555555554444⟧;⟦378282246310005⟧",
            "⟦3782 822463 10005⟧",
            "⟦6011111111111117⟧ ⟦3530111333300000⟧",
            "pay 5 ⟦4111 1111 1111 1111⟧ 123",
            "卡号⟦4111111111111111⟧。",
            "⟦30569309025904⟧ ⟦2223003122003222⟧",
            "4111 1111 1111 1112",
            "4111111111111112",
            "1234567812345670",
            "0.4111111111111111",
            "x4111111111111111 4111111111111111x",
            "4111 11111 111 1111",
            "0000000000000000",
            "41111111111111111111111",
        ],
    );
}

#[test]
fn finds_bank_accounts() {
    check(
        &[Kind::Iban],
        &[
            "⟦DE89 3704 0044 0532 0130 00⟧ is mine",
            "IBAN:⟦DE89370400440532013000⟧.",
            "⟦gb29nwbk60161331926819⟧",
            "⟦FR14 2004 1010 0505 0001 3M02 606⟧, ⟦NO93 8601 1117 947⟧",
            "⟦NL91ABNA0417164300⟧",
            "DE89 3704 0044 0532 0130 01",
            "DE8937040044053201300",
            "XX89370400440532013000",
            "ADE89370400440532013000",
            "DE89370400440532013000A",
        ],
    );
}

#[test]
fn finds_ip_addresses() {
    check(
        &[Kind::Ip],
        &[
            "from ⟦203.0.113.7⟧:8080.",
            "⟦10.0.0.1⟧/24, ⟦192.168.1.254⟧.",
            "[⟦2001:db8::1⟧]:443",
            "⟦fe80::1ff:fe23:4567:890a⟧%eth0",
            "⟦2001:0db8:85a3:0000:0000:8a2e:0370:7334⟧",
            "⟦2001:db8::⟧ ok",
            "127.0.0.1 0.0.0.0 ::1",
            "1.2.3 1.2.3.4.5 256.1.1.1 01.2.3.4",
            "std::vec a::b 12:30:45 c0::d1",
            "v1.2.3.4",
            "de:ad:be:ef:00:01",
        ],
    );
}

#[test]
fn finds_keys_and_passwords() {
    check(
        &[Kind::Key],
        &[
            "use ⟦sk-proj-abcDEF0123456789abcDEF0123456789⟧ here",
            "⟦AKIAIOSFODNN7EXAMPLE⟧",
            "⟦ghp_abcdefghijklmnopqrstuvwxyz0123456789⟧.",
            "⟦xoxb-1234567890-abcdef⟧ ⟦AIzaSyA1234567890abcdefghijklmnopqrstuv⟧",
            "Bearer ⟦eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U⟧",
            "⟦-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg==\n-----END PRIVATE KEY-----⟧ done",
            "⟦-----BEGIN RSA PRIVATE KEY-----\nMIIEvQIBADANBg⟧",
            "password: ⟦hunter2-X9⟧, and",
            "API_KEY=\"⟦f3a9c1b2d4e5f60718293a4b5c6d7e8f⟧\"",
            "\"secret\": \"⟦Zq8!kd0_Lp⟧\"",
            "token = Bearer ⟦a8f5f167f44f4964e6c998dee827110c⟧",
            "task-force-of-the-hidden-mountain-2024",
            "sk-learn-is-a-library-for-python",
            "password: changeme",
            "token: ${env:TOKEN_1234567890}",
            "password = ****************1",
            "-----BEGIN PUBLIC KEY-----\nMIIEvQ\n-----END PUBLIC KEY-----",
            "AKIA123",
            "eyJ0.no.token",
            "the secret: never give up, friend",
        ],
    );
}

#[test]
fn finds_national_ids_by_their_check_digits() {
    for (kind, texts) in [
        (
            Kind::UsSsn,
            &[
                "SSN ⟦123-45-6789⟧.",
                "⟦536 22 8726⟧",
                "ssn: ⟦123456789⟧",
                "my social security number ⟦001-01-0001⟧",
                "(⟦899-99-9999⟧)",
                "000-45-6789",
                "666-45-6789",
                "900-45-6789",
                "123-00-6789",
                "123-45-0000",
                "078-05-1120",
                "123456789",
                "123-45-67890",
            ][..],
        ),
        (
            Kind::UkNino,
            &[
                "⟦AB123456C⟧",
                "NI ⟦AB 12 34 56 C⟧.",
                "⟦ab123456d⟧",
                "⟦JG 103759 A⟧",
                "(⟦CE123456B⟧)",
                "BG123456A",
                "AO123456A",
                "DA123456A",
                "AB123456E",
                "AB12345C",
                "XAB123456C",
                "AB1234567",
            ],
        ),
        (
            Kind::DeSteuerId,
            &[
                "⟦86095742719⟧",
                "IdNr. ⟦86 095 742 719⟧",
                "⟦47036892816⟧,",
                "⟦65929970489⟧",
                "(⟦57549285017⟧)",
                "86095742718",
                "12345678901",
                "06095742719",
                "11111111111",
                "8609574271",
                "86-095742719",
            ],
        ),
        (
            Kind::FrNir,
            &[
                "⟦255081416802538⟧",
                "⟦2 55 08 14 168 025 38⟧",
                "⟦2550814168025 38⟧",
                "NIR: ⟦188057500100164⟧",
                " ⟦184012A00400166⟧ ⟦184012B00400193⟧",
                "255081416802539",
                "955081416802538",
                "255131416802538",
                "25508141680253",
                "2550814168025388",
            ],
        ),
        (
            Kind::EsDni,
            &[
                "⟦12345678Z⟧",
                "DNI ⟦12345678-Z⟧",
                "⟦X1234567L⟧",
                "NIE ⟦X-1234567-L⟧.",
                "⟦00000000T⟧",
                "⟦12.345.678-Z⟧",
                "12345678A",
                "X1234567A",
                "1234567Z",
                "A1234567L",
                "12345678ZZ",
            ],
        ),
        (
            Kind::ItCodiceFiscale,
            &[
                "⟦RSSMRA85T10A562S⟧",
                "cf ⟦rssmra85t10a562s⟧",
                "⟦MRTMTT91D08F205J⟧",
                "(⟦MLLSNT82P65Z404U⟧)",
                "⟦RSSMRA85T10A562S⟧.",
                "RSSMRA85T10A562T",
                "RSSMRA85F10A562S",
                "RSSMRA85T10A562",
                "RSSMRA85T10A562SS",
                "1SSMRA85T10A562S",
            ],
        ),
        (
            Kind::NlBsn,
            &[
                "BSN ⟦111222333⟧",
                "bsn: ⟦123456782⟧",
                "burgerservicenummer ⟦1234.56.782⟧",
                "BSN=⟦123456782⟧.",
                "my BSN is ⟦111 222 333⟧",
                "BSN 123456789",
                "123456782",
                "BSN 000000000",
                "bsn 12345678",
                "bsn 1234567820",
            ],
        ),
        (
            Kind::PlPesel,
            &[
                "⟦44051401359⟧",
                "PESEL ⟦02070803628⟧.",
                "⟦02270803624⟧",
                "(⟦44051401458⟧)",
                "pesel:⟦90090515836⟧",
                "44051401358",
                "44991401359",
                "44053201359",
                "4405140135",
                "440514013599",
            ],
        ),
        (
            Kind::SePersonnummer,
            &[
                "⟦811228-9874⟧",
                "⟦19811228-9874⟧",
                "⟦198112289874⟧",
                "⟦670919-9530⟧.",
                "personnummer ⟦8112289874⟧",
                "⟦811228+9874⟧",
                "811228-9875",
                "811328-9874",
                "811200-9874",
                "8112289874",
                "811228-98745",
            ],
        ),
        (
            Kind::BrCpf,
            &[
                "⟦529.982.247-25⟧",
                "CPF ⟦52998224725⟧",
                "⟦111.444.777-35⟧,",
                "⟦123.456.789-09⟧",
                "(⟦168.995.350-09⟧)",
                "529.982.247-26",
                "111.111.111-11",
                "529.982.247-2",
                "52998224724",
                "5299822472511",
            ],
        ),
        (
            Kind::InAadhaar,
            &[
                "⟦2341 2341 2346⟧",
                "aadhaar: ⟦234123412346⟧",
                "⟦2341-2341-2346⟧.",
                "UIDAI ⟦234123412346⟧",
                "(⟦4991 1866 5246⟧)",
                "2341 2341 2347",
                "1341 2341 2346",
                "234123412346",
                "2341 2341 234",
                "2341 2341 23465",
            ],
        ),
    ] {
        check(&[kind], texts);
    }
}

#[test]
fn finds_hardware_addresses() {
    check(
        &[Kind::Mac, Kind::Ip],
        &[
            "MAC ⟦00:1A:2B:3C:4D:5E⟧.",
            "mac:⟦00:1A:2B:3C:4D:5E⟧",
            "(⟦00-1a-2b-3c-4d-5e⟧)",
            "⟦aa:bb:cc:dd:ee:f0⟧, please",
            "on ⟦001a.2b3c.4d5e⟧",
            "⟦2001:db8::1⟧ and ⟦de:ad:be:ef:00:01⟧",
            "00:00:00:00:00:00 and ff:ff:ff:ff:ff:ff",
            "00:1A:2B:3C:4D and 00:1A:2B:3C:4D:5E:6F",
            "00:1A-2B:3C-4D:5E",
            "12:30:45, 10-11-2024, 1.2.3",
            "x00:1A:2B:3C:4D:5E",
        ],
    );
}

#[test]
fn finds_addresses_of_cryptocurrencies_by_their_checksums() {
    check(
        &[Kind::Crypto],
        &[
            "pay ⟦112D2adLM3UKy4Z4giRbReR6gjWuvHUqB⟧ now",
            "⟦31h38a54tFMrR8kzBnP2241MFD2EUHtGha⟧.",
            "⟦LKDyUEtTR1HXamkiEphisSiBJu6o3ZPE34⟧",
            "⟦D597kHXGdkwkryF9oGhz9Bp1ypTpD1u99Z⟧",
            "⟦T9yED5xMV5ARV98BexN97aLZ1UUq7eKSxm⟧",
            "bitcoin:⟦bc1qqqqsyqcyq5rqwzqfpg9scrgwpugpzysn4v0345⟧?amount=1",
            "⟦ltc1qqqqsyqcyq5rqwzqfpg9scrgwpugpzysn3s44dy⟧",
            "⟦BC1QQQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSN4V0345⟧",
            "⟦0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed⟧",
            "112D2adLM3UKy4Z4giRbReR6gjWuvHUqC",
            "bc1qqqqsyqcyq5rqwzqfpg9scrgwpugpzysn4v0346",
            "0x0000000000000000000000000000000000000000",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe",
            "d41d8cd98f00b204e9800998ecf8427e",
        ],
    );
}

#[test]
fn finds_dates_of_birth_behind_words_that_say_so() {
    check(
        &[Kind::BirthDate],
        &[
            "born on ⟦1985-03-12⟧ in Leeds",
            "DOB: ⟦3/12/85⟧.",
            "date of birth ⟦12.03.1985⟧",
            "She was born ⟦March 12, 1985⟧, he was not",
            "birthday: ⟦12th of March 1985⟧",
            "geboren am ⟦12. März 1985⟧ in Köln",
            "Geburtsdatum: ⟦12.3.1985⟧",
            "née le ⟦1 février 1990⟧",
            "fecha de nacimiento: ⟦12 de marzo de 1985⟧",
            "data di nascita ⟦12 marzo 1985⟧",
            "data de nascimento: ⟦12/03/1985⟧",
            "geboortedatum ⟦12-03-1985⟧",
            "出生日期：⟦1985年3月12日⟧",
            "the meeting is on 12.03.2025",
            "born to run 100 miles",
            "version 1.2.2024 was born",
            "date of birth: 45.13.1985",
        ],
    );
}

#[test]
fn one_walk_finds_all_kinds_and_the_best_of_those_that_overlap() {
    let all: Vec<Kind> = Kind::ALL.to_vec();
    let text = "Bob <bob@example.com>, +49 30 901820, 4111 1111 1111 1111, DE89370400440532013000, \
                203.0.113.7, AKIAIOSFODNN7EXAMPLE, 123-45-6789, 188057500100164";
    let kinds: Vec<&str> = found(&all, text).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["email", "phone", "card", "iban", "ip", "key", "us-ssn", "fr-nir"]);
}

#[test]
fn nothing_is_found_where_nothing_is() {
    let all: Vec<Kind> = Kind::ALL.to_vec();
    for text in [
        "",
        "The quick brown fox jumps over the lazy dog.",
        "On 2024-01-15 at 10:22:33 we shipped 3.5 kg for $1,299.99 (invoice 4711).",
        "commit 3f2a9c1b2d4e5f60718293a4b5c6d7e8f9012345",
        "let x: Vec<u8> = vec![1, 2, 3]; // see a::b::c",
        "550e8400-e29b-41d4-a716-446655440000",
        "日本語の文章 🙂 ",
    ] {
        assert_eq!(found(&all, text), [], "{text}");
    }
}

#[test]
fn hostile_texts_are_walked_in_one_pass() {
    let all: Vec<Kind> = Kind::ALL.to_vec();
    for piece in
        ["@", "1", "1 ", "a@", ":", "=", "+1", "(", "1.", "eyJ", "-----BEGIN PRIVATE KEY-----", "password="]
    {
        found(&all, &piece.repeat(200_000 / piece.len()));
    }
}
