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
    /// US taxpayer numbers of who has no social security number.
    UsItin = "us-itin", "US_ITIN";
    /// US employer numbers, after their name.
    UsEin = "us-ein", "US_EIN";
    /// US health providers' numbers, after their name.
    UsNpi = "us-npi", "US_NPI";
    /// US prescribers' numbers, after their name.
    UsDea = "us-dea", "US_DEA";
    /// US Medicare numbers, after their name.
    UsMbi = "us-mbi", "US_MBI";
    /// UK health service numbers, after their name.
    UkNhs = "uk-nhs", "UK_NHS";
    /// UK taxpayer references, after their name.
    UkUtr = "uk-utr", "UK_UTR";
    /// Canadian social insurance numbers, after their name.
    CaSin = "ca-sin", "CA_SIN";
    /// Australian tax file numbers, after their name.
    AuTfn = "au-tfn", "AU_TFN";
    /// Australian business numbers, after their name.
    AuAbn = "au-abn", "AU_ABN";
    /// Australian Medicare numbers, after their name.
    AuMedicare = "au-medicare", "AU_MEDICARE";
    /// New Zealand's tax numbers, after their name.
    NzIrd = "nz-ird", "NZ_IRD";
    /// Swiss social security numbers.
    ChAhv = "ch-ahv", "CH_AHV";
    /// Austrian social security numbers, after their name.
    AtSvnr = "at-svnr", "AT_SVNR";
    /// Belgian national numbers, after their name.
    BeNn = "be-nn", "BE_NN";
    /// Danish personal numbers, after their name.
    DkCpr = "dk-cpr", "DK_CPR";
    /// Norwegian personal numbers, after their name.
    NoFnr = "no-fnr", "NO_FNR";
    /// Finnish personal codes, after their name.
    FiHetu = "fi-hetu", "FI_HETU";
    /// Portuguese tax numbers, after their name.
    PtNif = "pt-nif", "PT_NIF";
    /// Irish public service numbers, after their name.
    IePps = "ie-pps", "IE_PPS";
    /// Romanian personal codes, after their name.
    RoCnp = "ro-cnp", "RO_CNP";
    /// Turkish identity numbers, after their name.
    TrTckn = "tr-tckn", "TR_TCKN";
    /// South African identity numbers, after their name.
    ZaId = "za-id", "ZA_ID";
    /// Chinese resident identity numbers.
    CnId = "cn-id", "CN_ID";
    /// Japanese individual numbers, after their name.
    JpMyNumber = "jp-my-number", "JP_MY_NUMBER";
    /// Korean resident registration numbers, after their name.
    KrRrn = "kr-rrn", "KR_RRN";
    /// Singapore's identity numbers, of foreigners too.
    SgNric = "sg-nric", "SG_NRIC";
    /// Indian tax numbers, after their name.
    InPan = "in-pan", "IN_PAN";
    /// Mexican population registry codes.
    MxCurp = "mx-curp", "MX_CURP";
    /// Argentinian tax numbers, after their name.
    ArCuit = "ar-cuit", "AR_CUIT";
    /// Chilean identity numbers, after their name.
    ClRut = "cl-rut", "CL_RUT";
    /// Israeli identity numbers, after their name.
    IlId = "il-id", "IL_ID";
    /// Passport numbers, after a word for them in one of seven languages.
    Passport = "passport", "PASSPORT";
    /// Driving licences, after a word for them in one of seven languages.
    DriversLicense = "drivers-license", "DRIVERS_LICENSE";
    /// Numbers of medical records, after their name.
    MedicalRecord = "medical-record", "MEDICAL_RECORD";
    /// Numbers of health insurances and their cards, after their name.
    HealthId = "health-id", "HEALTH_ID";
    /// Bank account numbers, after a word for them in one of seven languages.
    BankAccount = "bank-account", "BANK_ACCOUNT";
    /// US bank routing numbers, after their name.
    UsRouting = "us-routing", "US_ROUTING";
    /// Vehicle identification numbers, after their name.
    Vin = "vin", "VIN";
    /// Device numbers of phones, after their name.
    Imei = "imei", "IMEI";
    /// Subscriber numbers of phones, after their name.
    Imsi = "imsi", "IMSI";
    /// Numbers of SIM cards, after their name.
    Iccid = "iccid", "ICCID";
    /// Hardware addresses of network devices (MAC, IEEE 802).
    Mac = "mac", "MAC";
    /// Addresses of cryptocurrencies: Bitcoin, Litecoin, Dogecoin, Tron, Ethereum.
    Crypto = "crypto", "CRYPTO";
    /// Dates of birth: dates behind a word that says so.
    BirthDate = "birth-date", "BIRTH_DATE";
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
        Kind::UsItin,
        Kind::UsEin,
        Kind::UsMbi,
        Kind::UkNhs,
        Kind::UkUtr,
        Kind::CaSin,
        Kind::AuTfn,
        Kind::AuMedicare,
        Kind::NzIrd,
        Kind::ChAhv,
        Kind::AtSvnr,
        Kind::BeNn,
        Kind::DkCpr,
        Kind::NoFnr,
        Kind::FiHetu,
        Kind::PtNif,
        Kind::IePps,
        Kind::RoCnp,
        Kind::TrTckn,
        Kind::ZaId,
        Kind::CnId,
        Kind::JpMyNumber,
        Kind::KrRrn,
        Kind::SgNric,
        Kind::InPan,
        Kind::MxCurp,
        Kind::ArCuit,
        Kind::ClRut,
        Kind::IlId,
    ];

    /// Whether the model finds it.
    pub(crate) fn by_model(self) -> bool {
        matches!(self, Kind::Person | Kind::Place | Kind::Address)
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds(u128);

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
