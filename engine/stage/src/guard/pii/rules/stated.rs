//! Ids that a word in front of them states, or that their own shape and check digits give away: one table.

use super::number::{Code, is_date, luhn, number, value};
use super::{LONGEST_SPACED, starts_clean};
use crate::guard::pii::find::Find;
use crate::guard::pii::kind::{Kind, Kinds};

/// An id of the table.
struct Stated {
    kind: Kind,
    /// Words, in small letters, one of which stands shortly before it. None: it needs none.
    words: &'static [&'static str],
    /// How many letters and digits it has, at least and at most.
    long: (usize, usize),
    /// Whether characters, in capitals, can be it.
    fits: fn(&[u8]) -> bool,
}

const fn id(
    kind: Kind,
    words: &'static [&'static str],
    long: (usize, usize),
    fits: fn(&[u8]) -> bool,
) -> Stated {
    Stated { kind, words, long, fits }
}

const TABLE: &[Stated] = &[
    id(Kind::UsItin, &["itin", "taxpayer identification"], (9, 9), us_itin),
    id(Kind::UsEin, &["ein", "employer identification"], (9, 9), digits),
    id(Kind::UsRouting, &["routing", "aba", "rtn"], (9, 9), us_routing),
    id(Kind::UsNpi, &["npi", "national provider"], (10, 10), us_npi),
    id(Kind::UsDea, &["dea"], (9, 9), us_dea),
    id(Kind::UsMbi, &["mbi", "medicare"], (11, 11), us_mbi),
    id(Kind::UkNhs, &["nhs"], (10, 10), uk_nhs),
    id(Kind::UkUtr, &["utr", "unique taxpayer"], (10, 10), uk_utr),
    id(Kind::CaSin, &["sin", "social insurance", "assurance sociale"], (9, 9), all_digits_luhn),
    id(Kind::AuTfn, &["tfn", "tax file"], (9, 9), |c| sum(c, &[1, 4, 3, 7, 5, 8, 6, 9, 10]) == Some(0)),
    id(Kind::AuAbn, &["abn", "business number"], (11, 11), au_abn),
    id(Kind::AuMedicare, &["medicare"], (10, 11), au_medicare),
    id(Kind::NzIrd, &["ird"], (9, 9), nz_ird),
    id(Kind::ChAhv, &[], (13, 13), |c| c.starts_with(b"756") && ean(c)),
    id(Kind::AtSvnr, &["svnr", "sozialversicherung", "versicherungsnummer", "sv-nummer"], (10, 10), at_svnr),
    id(
        Kind::BeNn,
        &["rijksregister", "registre national", "national number", "nationaal nummer"],
        (11, 11),
        be_nn,
    ),
    id(Kind::DkCpr, &["cpr", "personnummer"], (10, 10), day_first),
    id(Kind::NoFnr, &["fnr", "dselsnummer", "personnummer"], (11, 11), no_fnr),
    id(Kind::FiHetu, &["hetu", "henkil"], (10, 10), fi_hetu),
    id(Kind::PtNif, &["nif", "contribuinte"], (9, 9), pt_nif),
    id(Kind::IePps, &["pps"], (8, 9), ie_pps),
    id(Kind::RoCnp, &["cnp", "cod numeric"], (13, 13), ro_cnp),
    id(Kind::TrTckn, &["tckn", "kimlik", "t.c."], (11, 11), tr_tckn),
    id(Kind::ZaId, &["id number", "identity", "sa id"], (13, 13), |c| all_digits_luhn(c) && year_first(c)),
    id(Kind::CnId, &[], (18, 18), cn_id),
    id(Kind::JpMyNumber, &["my number", "mynumber", "individual number"], (12, 12), jp_my_number),
    id(Kind::KrRrn, &["rrn", "resident registration", "jumin"], (13, 13), kr_rrn),
    id(Kind::SgNric, &[], (9, 9), sg_nric),
    id(Kind::InPan, &["pan", "permanent account"], (10, 10), in_pan),
    id(Kind::MxCurp, &[], (18, 18), mx_curp),
    id(Kind::ArCuit, &["cuit", "cuil"], (11, 11), ar_cuit),
    id(Kind::ClRut, &["rut", "run"], (8, 9), cl_rut),
    id(Kind::IlId, &["teudat", "israeli id"], (9, 9), all_digits_luhn),
    id(
        Kind::Passport,
        &["passport", "reisepass", "passeport", "pasaporte", "passaporto", "paspoort", "passaporte"],
        (6, 9),
        |c| some_digits(c, 5),
    ),
    id(
        Kind::DriversLicense,
        &[
            "driver's licen",
            "drivers licen",
            "driver licen",
            "driving licen",
            "hrerschein",
            "permis de conduire",
            "licencia de conduc",
            "permiso de conduc",
            "patente di guida",
            "rijbewijs",
            "carta de condu",
        ],
        (5, 16),
        |c| some_digits(c, 4),
    ),
    id(
        Kind::MedicalRecord,
        &["mrn", "medical record", "patient id", "patient number", "patientennummer", "dossier m"],
        (5, 12),
        |c| some_digits(c, 4),
    ),
    id(
        Kind::HealthId,
        &[
            "health card",
            "health insurance",
            "insurance number",
            "versichertennummer",
            "carte vitale",
            "member id",
        ],
        (8, 15),
        |c| some_digits(c, 6),
    ),
    id(
        Kind::BankAccount,
        &[
            "account number",
            "account no",
            "acct",
            "kontonummer",
            "kontonr",
            "de compte",
            "de cuenta",
            "di conto",
            "rekeningnummer",
            "da conta",
        ],
        (6, 17),
        digits,
    ),
    id(Kind::Vin, &["vin", "vehicle", "chassis", "fahrgestell"], (17, 17), vin),
    id(Kind::Imei, &["imei"], (15, 15), all_digits_luhn),
    id(Kind::Imsi, &["imsi"], (15, 15), digits),
    id(Kind::Iccid, &["iccid", "sim card", "sim number"], (19, 20), |c| c.starts_with(b"89") && digits(c)),
];

/// The kinds of the table.
pub(super) fn is_stated(kind: Kind) -> bool {
    TABLE.iter().any(|stated| stated.kind == kind)
}

/// Adds the ids of the table that start at `start`.
pub(super) fn scan(bytes: &[u8], start: usize, kinds: Kinds, finds: &mut Vec<Find>) {
    if !starts_clean(bytes, start) {
        return;
    }
    let written = Code::read(bytes, start, b" -.");
    let mut shown = None;
    for stated in TABLE.iter().filter(|stated| kinds.has(stated.kind)) {
        // The longest that can be it.
        let (least, most) = stated.long;
        let fit = (least..=most.min(written.len())).rev().find_map(|n| {
            let (chars, end) = written.chars(bytes, n)?;
            (stated.fits)(chars).then_some(end)
        });
        let Some(end) = fit else { continue };
        let before = shown.get_or_insert_with(|| said(bytes, start));
        if stated.words.is_empty() || stated.words.iter().any(|word| says(before, word)) {
            finds.push(Find::new(stated.kind, start, end, 0.85));
        }
    }
}

/// What stands shortly before a place, in small letters.
pub(super) fn said(bytes: &[u8], start: usize) -> Vec<u8> {
    bytes.get(start.saturating_sub(LONGEST_SPACED)..start).unwrap_or_default().to_ascii_lowercase()
}

/// Whether a word stands there, and not inside another: `sin` does not in `business`.
pub(super) fn says(before: &[u8], word: &str) -> bool {
    let at = |place: usize| before.get(place).copied().unwrap_or(b' ');
    let ends = |place: usize| word.len() > 4 || !at(place + word.len()).is_ascii_alphabetic();
    let begins = |place: usize| place.checked_sub(1).is_none_or(|left| !at(left).is_ascii_alphabetic());
    let mut places = memchr::memmem::find_iter(before, word.as_bytes());
    places.any(|place| begins(place) && ends(place))
}

fn digits(chars: &[u8]) -> bool {
    chars.iter().all(u8::is_ascii_digit)
}

/// Whether so many digits are among letters.
fn some_digits(chars: &[u8], least: usize) -> bool {
    chars.iter().filter(|byte| byte.is_ascii_digit()).count() >= least
}

fn all_digits_luhn(chars: &[u8]) -> bool {
    digits(chars) && luhn(chars) && chars.iter().any(|byte| *byte != b'0')
}

/// The weighted sum of digits, modulo 11; `None` if one is none.
fn sum(chars: &[u8], weights: &[u32]) -> Option<u32> {
    total(chars, weights).map(|total| total % 11)
}

fn total(chars: &[u8], weights: &[u32]) -> Option<u32> {
    let shown = chars.get(..weights.len())?;
    let all = shown.iter().any(|byte| *byte != b'0') && digits(shown);
    all.then(|| shown.iter().zip(weights).map(|(digit, weight)| value(*digit) * weight).sum())
}

/// The digit at a place.
fn at(chars: &[u8], place: usize) -> Option<u32> {
    chars.get(place).filter(|byte| byte.is_ascii_digit()).map(|digit| value(*digit))
}

fn part(chars: &[u8], from: usize, to: usize) -> u64 {
    chars.get(from..to).filter(|part| digits(part)).map_or(0, number)
}

/// A date of birth in front: day, month, year.
fn day_first(chars: &[u8]) -> bool {
    digits(chars) && is_date(part(chars, 2, 4), part(chars, 0, 2))
}

/// A date of birth in front: year, month, day.
fn year_first(chars: &[u8]) -> bool {
    is_date(part(chars, 2, 4), part(chars, 4, 6))
}

/// The IRS's numbers for who has no social security number.
fn us_itin(chars: &[u8]) -> bool {
    digits(chars)
        && chars.starts_with(b"9")
        && matches!(part(chars, 3, 5), 50..=65 | 70..=88 | 90..=92 | 94..=99)
}

/// ABA's check: weights 3, 7, 1.
fn us_routing(chars: &[u8]) -> bool {
    total(chars, &[3, 7, 1, 3, 7, 1, 3, 7, 1]).is_some_and(|sum| sum % 10 == 0)
}

/// CMS: Luhn's check with 80840 in front.
fn us_npi(chars: &[u8]) -> bool {
    digits(chars) && luhn(&[b"80840", chars].concat())
}

/// Two letters, six digits and a check digit.
fn us_dea(chars: &[u8]) -> bool {
    let Some((head, tail)) = chars.split_at_checked(2) else { return false };
    head.iter().all(u8::is_ascii_uppercase)
        && total(tail, &[1, 2, 1, 2, 1, 2]).is_some_and(|sum| Some(sum % 10) == at(tail, 6))
}

/// CMS's Medicare Beneficiary Identifier: which places are letters and which digits.
fn us_mbi(chars: &[u8]) -> bool {
    let letter = |byte: &u8| byte.is_ascii_uppercase() && !b"SLOIBZ".contains(byte);
    chars.iter().enumerate().all(|(place, byte)| match place {
        0 => matches!(byte, b'1'..=b'9'),
        1 | 4 | 7 | 8 => letter(byte),
        2 | 5 => letter(byte) || byte.is_ascii_digit(),
        _ => byte.is_ascii_digit(),
    })
}

fn uk_nhs(chars: &[u8]) -> bool {
    sum(chars, &[10, 9, 8, 7, 6, 5, 4, 3, 2]).is_some_and(|rest| at(chars, 9) == Some((11 - rest) % 11))
}

/// HMRC: the first digit checks the others.
fn uk_utr(chars: &[u8]) -> bool {
    let rest = sum(chars.get(1..).unwrap_or_default(), &[6, 7, 8, 9, 10, 5, 4, 3, 2]);
    rest.is_some_and(|rest| b"21987654321".get(rest as usize) == chars.first())
}

/// ABR: the first digit less one, modulo 89.
fn au_abn(chars: &[u8]) -> bool {
    let weights = [10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19];
    !chars.starts_with(b"0") && total(chars, &weights).is_some_and(|sum| (sum - 10) % 89 == 0)
}

fn au_medicare(chars: &[u8]) -> bool {
    let fits = digits(chars) && matches!(chars.first(), Some(b'2'..=b'6'));
    fits && total(chars, &[1, 3, 7, 9, 1, 3, 7, 9]).is_some_and(|sum| at(chars, 8) == Some(sum % 10))
}

fn nz_ird(chars: &[u8]) -> bool {
    let check = |weights: &[u32]| sum(chars, weights).map(|rest| (11 - rest) % 11);
    let first = check(&[3, 2, 7, 6, 5, 4, 3, 2]);
    let last = if first == Some(10) { check(&[7, 4, 3, 2, 5, 2, 7, 6]) } else { first };
    last.is_some() && last == at(chars, 8)
}

/// EAN-13's check digit.
fn ean(chars: &[u8]) -> bool {
    total(chars, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]).is_some_and(|sum| sum % 10 == 0)
}

fn at_svnr(chars: &[u8]) -> bool {
    sum(chars, &[3, 7, 9, 0, 5, 8, 4, 2, 1, 6]).is_some_and(|rest| at(chars, 3) == Some(rest))
}

/// The last two digits are 97 less the rest by 97 of the others, with a 2 in front for who was born after 1999.
fn be_nn(chars: &[u8]) -> bool {
    let (body, check) = (part(chars, 0, 9), part(chars, 9, 11));
    let right = |body: u64| 97 - body % 97 == check;
    digits(chars) && (right(body) || right(2_000_000_000 + body))
}

fn no_fnr(chars: &[u8]) -> bool {
    let one = sum(chars, &[3, 7, 6, 1, 8, 9, 4, 5, 2]).map(|rest| (11 - rest) % 11);
    let two = sum(chars, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]).map(|rest| (11 - rest) % 11);
    one.is_some() && one == at(chars, 9) && two == at(chars, 10)
}

/// Day, month, year, three digits, and a sign of 31 for their rest.
fn fi_hetu(chars: &[u8]) -> bool {
    let Some((body, check)) = chars.split_at_checked(9) else { return false };
    let rest = usize::try_from(number(body) % 31).unwrap_or(31);
    day_first(body) && b"0123456789ABCDEFHJKLMNPRSTUVWXY".get(rest) == check.first()
}

fn pt_nif(chars: &[u8]) -> bool {
    let rest = sum(chars, &[9, 8, 7, 6, 5, 4, 3, 2]);
    rest.is_some_and(|rest| at(chars, 8) == Some(if rest < 2 { 0 } else { 11 - rest }))
}

fn ie_pps(chars: &[u8]) -> bool {
    let second = match chars.get(8) {
        Some(letter @ b'A'..=b'I') => u32::from(letter - b'A' + 1) * 9,
        Some(b'W') | None => 0,
        Some(_) => return false,
    };
    let rest = total(chars, &[8, 7, 6, 5, 4, 3, 2]).map(|sum| (sum + second) % 23);
    rest.and_then(|rest| b"WABCDEFGHIJKLMNOPQRSTUV".get(rest as usize)) == chars.get(7)
}

fn ro_cnp(chars: &[u8]) -> bool {
    let rest = sum(chars, &[2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]);
    let date = is_date(part(chars, 3, 5), part(chars, 5, 7));
    date && rest.is_some_and(|rest| at(chars, 12) == Some(if rest == 10 { 1 } else { rest }))
}

fn tr_tckn(chars: &[u8]) -> bool {
    let odd = total(chars, &[1, 0, 1, 0, 1, 0, 1, 0, 1]);
    let even = total(chars, &[0, 1, 0, 1, 0, 1, 0, 1, 0]);
    let all = total(chars, &[1; 10]);
    let (Some(odd), Some(even), Some(all)) = (odd, even, all) else { return false };
    !chars.starts_with(b"0")
        && at(chars, 9) == Some((odd * 7 + 10 * 9 - even) % 10)
        && at(chars, 10) == Some(all % 10)
}

/// GB 11643-1999: region, date of birth, order, check sign by ISO 7064 MOD 11-2.
fn cn_id(chars: &[u8]) -> bool {
    let rest = sum(chars, &[7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]);
    let date = matches!(part(chars, 6, 8), 18..=20) && is_date(part(chars, 10, 12), part(chars, 12, 14));
    date && rest.is_some_and(|rest| b"10X98765432".get(rest as usize) == chars.get(17))
}

fn jp_my_number(chars: &[u8]) -> bool {
    let rest = sum(chars, &[6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]);
    rest.is_some_and(|rest| at(chars, 11) == Some(if rest < 2 { 0 } else { 11 - rest }))
}

fn kr_rrn(chars: &[u8]) -> bool {
    let rest = sum(chars, &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]);
    year_first(chars) && rest.is_some_and(|rest| at(chars, 12) == Some((11 - rest) % 10))
}

fn sg_nric(chars: &[u8]) -> bool {
    let [first, body @ .., check] = chars else { return false };
    let (more, signs): (u32, &[u8]) = match first {
        b'S' => (0, b"JZIHGFEDCBA"),
        b'T' => (4, b"JZIHGFEDCBA"),
        b'F' => (0, b"XWUTRQPNMLK"),
        b'G' => (4, b"XWUTRQPNMLK"),
        _ => return false,
    };
    let rest = total(body, &[2, 7, 6, 5, 4, 3, 2]).map(|sum| (sum + more) % 11);
    rest.is_some_and(|rest| signs.get(rest as usize) == Some(check))
}

/// Five letters, the fourth of which says whose it is, four digits, a letter.
fn in_pan(chars: &[u8]) -> bool {
    let letters = |from: usize, to: usize| {
        chars.get(from..to).is_some_and(|part| part.iter().all(u8::is_ascii_uppercase))
    };
    letters(0, 5)
        && letters(9, 10)
        && chars.get(5..9).is_some_and(digits)
        && chars.get(3).is_some_and(|holder| b"PCHFATBLJG".contains(holder))
}

/// RENAPO's key: letters of the name, date of birth, sex, state, letters, and a check digit.
fn mx_curp(chars: &[u8]) -> bool {
    let letters = |from: usize, to: usize| {
        chars.get(from..to).is_some_and(|part| part.iter().all(u8::is_ascii_uppercase))
    };
    let date = is_date(part(chars, 6, 8), part(chars, 8, 10)) && chars.get(4..10).is_some_and(digits);
    // Ñ has a place of its own between N and O.
    let place = |byte: &u8| match byte {
        b'0'..=b'9' => value(*byte),
        b'A'..=b'N' => u32::from(byte - b'A') + 10,
        _ => u32::from(byte.wrapping_sub(b'A')) + 11,
    };
    let weights = (2..=18u32).rev();
    let sum: u32 = chars.iter().take(17).zip(weights).map(|(byte, weight)| place(byte) * weight).sum();
    letters(0, 4)
        && date
        && matches!(chars.get(10), Some(b'H' | b'M' | b'X'))
        && letters(11, 16)
        && at(chars, 17) == Some((10 - sum % 10) % 10)
}

fn ar_cuit(chars: &[u8]) -> bool {
    let rest = sum(chars, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]).map(|rest| (11 - rest) % 11);
    rest.is_some_and(|rest| at(chars, 10) == Some(if rest == 10 { 9 } else { rest }))
}

fn cl_rut(chars: &[u8]) -> bool {
    let Some((check, body)) = chars.split_last() else { return false };
    let weights = [2, 3, 4, 5, 6, 7, 2, 3];
    let sum: u32 = body.iter().rev().zip(weights).map(|(digit, weight)| value(*digit) * weight).sum();
    digits(body) && b"0123456789K".get(((11 - sum % 11) % 11) as usize) == Some(check)
}

/// ISO 3779: no I, O or Q, letters and digits; where a check digit is asked for (49 CFR 565), it is the ninth.
fn vin(chars: &[u8]) -> bool {
    let known = |byte: &u8| !b"IOQ".contains(byte);
    chars.iter().all(known) && chars.iter().any(u8::is_ascii_uppercase) && some_digits(chars, 5)
}

#[cfg(test)]
mod tests {
    use super::super::Rules;
    use super::*;

    fn found(text: &str) -> Vec<(Kind, &str)> {
        let kinds: Vec<Kind> = Kind::ALL.iter().copied().filter(|kind| is_stated(*kind)).collect();
        let mut finds = Vec::new();
        Rules::new(Kinds::of(&kinds), Vec::new(), Vec::new()).scan(text, &mut finds);
        let what = |find: &Find| match find.what {
            crate::guard::pii::find::What::Known(kind) => (kind, text.get(find.start..find.end).unwrap()),
            crate::guard::pii::find::What::Custom(_) => unreachable!(),
        };
        finds.iter().map(what).collect()
    }

    #[test]
    fn each_is_found_where_it_is_stated_and_right() {
        let mut seen = Vec::new();
        for (kind, text, id) in [
            (Kind::UsItin, "ITIN 912-70-1234", "912-70-1234"),
            (Kind::UsRouting, "routing number 021000021", "021000021"),
            (Kind::UsNpi, "NPI: 1234567893", "1234567893"),
            (Kind::UsDea, "DEA AB1234563", "AB1234563"),
            (Kind::UsMbi, "Medicare 1EG4-TE5-MK73", "1EG4-TE5-MK73"),
            (Kind::UkNhs, "NHS number 943 476 5919", "943 476 5919"),
            (Kind::CaSin, "SIN 046 454 286", "046 454 286"),
            (Kind::AuTfn, "TFN 123 456 782", "123 456 782"),
            (Kind::AuAbn, "ABN 51 824 753 556", "51 824 753 556"),
            (Kind::NzIrd, "IRD 049-091-850", "049-091-850"),
            (Kind::ChAhv, "AHV 756.9217.0769.85", "756.9217.0769.85"),
            (Kind::AtSvnr, "SVNR 1237 010180", "1237 010180"),
            (Kind::BeNn, "rijksregisternummer 85.07.30-033.28", "85.07.30-033.28"),
            (Kind::FiHetu, "hetu 131052-308T", "131052-308T"),
            (Kind::PtNif, "NIF 123456789", "123456789"),
            (Kind::IePps, "PPS 1234567FA", "1234567FA"),
            (Kind::TrTckn, "TC kimlik 10000000146", "10000000146"),
            (Kind::ZaId, "ID number 8001015009087", "8001015009087"),
            (Kind::CnId, "11010519491231002X", "11010519491231002X"),
            (Kind::JpMyNumber, "my number 1234 5678 9018", "1234 5678 9018"),
            (Kind::SgNric, "S1234567D", "S1234567D"),
            (Kind::InPan, "PAN ABCPE1234F", "ABCPE1234F"),
            (Kind::ArCuit, "CUIT 20-12345678-6", "20-12345678-6"),
            (Kind::ClRut, "RUT 12.345.678-5", "12.345.678-5"),
            (Kind::Passport, "passport no. C01X00T47", "C01X00T47"),
            (Kind::DriversLicense, "Führerschein B072RRE2I55", "B072RRE2I55"),
            (Kind::MedicalRecord, "MRN 00456789", "00456789"),
            (Kind::BankAccount, "account number 12345678", "12345678"),
            (Kind::Vin, "VIN 1HGCM82633A004352", "1HGCM82633A004352"),
            (Kind::Imei, "IMEI 490154203237518", "490154203237518"),
            (Kind::UsEin, "EIN 12-3456789", "12-3456789"),
            (Kind::UkUtr, "UTR 1123456789", "1123456789"),
            (Kind::AuMedicare, "Medicare 2950 50124 1", "2950 50124 1"),
            (Kind::DkCpr, "CPR 010180-1234", "010180-1234"),
            (Kind::NoFnr, "fnr 010180 10018", "010180 10018"),
            (Kind::RoCnp, "CNP 1800101400016", "1800101400016"),
            (Kind::KrRrn, "RRN 800101-1234560", "800101-1234560"),
            (Kind::MxCurp, "HEGG560427MVZRRL04", "HEGG560427MVZRRL04"),
            (Kind::IlId, "teudat zehut 123456782", "123456782"),
            (Kind::HealthId, "health insurance A123456789", "A123456789"),
            (Kind::Imsi, "IMSI 310150123456789", "310150123456789"),
            (Kind::Iccid, "ICCID 8914800000123456789", "8914800000123456789"),
        ] {
            seen.push(kind);
            let all = found(text);
            assert!(all.contains(&(kind, id)), "{text}: {all:?}");
        }
        let missing: Vec<Kind> =
            TABLE.iter().map(|one| one.kind).filter(|kind| !seen.contains(kind)).collect();
        assert!(missing.is_empty(), "without an example: {missing:?}");
        for text in [
            "ITIN 912-69-1234",
            "routing number 021000022",
            "NHS number 943 476 5918",
            "call 046 454 286",
            "business 046454286",
            "11010519491231002Y",
            "S1234567E",
            "the pan 1234567890 is hot",
            "see order 12345678",
            "IMEI 490154203237519",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
