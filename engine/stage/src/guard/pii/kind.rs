//! The kinds of personal data that the guard knows.

use schemars::JsonSchema;
use serde::Deserialize;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $name:literal, $label:literal;)+) => {
        /// A kind of personal data.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, JsonSchema)]
        pub(crate) enum Kind { $($(#[doc = $doc])+ #[serde(rename = $name)] $kind,)+ }

        impl Kind {
            /// Every kind, in the order of the list.
            pub(crate) const ALL: &[Kind] = &[$(Kind::$kind,)+];

            /// Its name in policies and traces.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Kind::$kind => $name,)+ }
            }

            /// Its name in masks and placeholders.
            pub(crate) fn label(self) -> &'static str {
                match self { $(Kind::$kind => $label,)+ }
            }
        }
    };
}

kinds! {
    /// E-mail addresses.
    Email = "email", "EMAIL";
    /// Telephone numbers: international ones, and national ones of the `regions`.
    Phone = "phone", "PHONE";
    /// Payment card numbers (issuer, length and Luhn's check digit).
    Card = "card", "CARD";
    /// Bank accounts (country, length and check digits by ISO 13616).
    Iban = "iban", "IBAN";
    /// IPv4 and IPv6 addresses, other than loopback.
    Ip = "ip", "IP";
    /// API keys, tokens, passwords after their name, private keys, JSON web tokens.
    Key = "key", "KEY";
    /// All national ids below.
    NationalId = "national-id", "NATIONAL_ID";
    /// US social security numbers.
    UsSsn = "us-ssn", "US_SSN";
    /// UK national insurance numbers.
    UkNino = "uk-nino", "UK_NINO";
    /// German tax ids.
    DeSteuerId = "de-steuer-id", "DE_STEUER_ID";
    /// French social security numbers.
    FrNir = "fr-nir", "FR_NIR";
    /// Spanish identity numbers, of foreigners too (NIE).
    EsDni = "es-dni", "ES_DNI";
    /// Italian tax codes.
    ItCodiceFiscale = "it-codice-fiscale", "IT_CODICE_FISCALE";
    /// Dutch citizen service numbers, where a word beside them says so.
    NlBsn = "nl-bsn", "NL_BSN";
    /// Polish personal numbers.
    PlPesel = "pl-pesel", "PL_PESEL";
    /// Swedish personal numbers.
    SePersonnummer = "se-personnummer", "SE_PERSONNUMMER";
    /// Brazilian taxpayer numbers.
    BrCpf = "br-cpf", "BR_CPF";
    /// Indian identity numbers.
    InAadhaar = "in-aadhaar", "IN_AADHAAR";
    /// Names of persons (by the model).
    Person = "person", "PERSON";
    /// Cities, states and other places (by the model).
    Place = "place", "PLACE";
    /// Street addresses (by the model).
    Address = "address", "ADDRESS";
}

impl Kind {
    /// The national ids.
    pub(crate) const NATIONAL: &[Kind] = &[
        Kind::UsSsn,
        Kind::UkNino,
        Kind::DeSteuerId,
        Kind::FrNir,
        Kind::EsDni,
        Kind::ItCodiceFiscale,
        Kind::NlBsn,
        Kind::PlPesel,
        Kind::SePersonnummer,
        Kind::BrCpf,
        Kind::InAadhaar,
    ];

    /// Whether the model finds it.
    pub(crate) fn by_model(self) -> bool {
        matches!(self, Kind::Person | Kind::Place | Kind::Address)
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds(u32);

impl Kinds {
    /// The kinds listed; a group stands for its members.
    pub(crate) fn of(list: &[Kind]) -> Self {
        let mut kinds = Kinds::default();
        for kind in list {
            match kind {
                Kind::NationalId => Kind::NATIONAL.iter().for_each(|kind| kinds.add(*kind)),
                kind => kinds.add(*kind),
            }
        }
        kinds
    }

    fn add(&mut self, kind: Kind) {
        self.0 |= 1 << kind as u32;
    }

    pub(crate) fn has(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u32) != 0
    }

    pub(crate) fn any(self, mut of: impl FnMut(Kind) -> bool) -> bool {
        Kind::ALL.iter().any(|kind| self.has(*kind) && of(*kind))
    }
}
