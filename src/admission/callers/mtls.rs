//! Callers with a certificate: TLS has verified it against `client_ca`; here it becomes a name.

use x509_parser::prelude::{GeneralName, X509Certificate};

use super::{Caller, Pattern};
use crate::admission::{Knock, Refusal};

/// A part of a certificate, what it has to be, and who that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectRule {
    /// Where to look.
    pub field: SubjectField,
    /// What to find there.
    pub pattern: Pattern,
    /// The caller; what was found, without it.
    pub name: Option<String>,
}

/// Where names stand in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectField {
    /// The common name of the subject.
    CommonName,
    /// An organizational unit of the subject.
    Unit,
    /// A host name among the alternative names.
    Dns,
    /// A URI among them, as SPIFFE uses it.
    Uri,
    /// An address for mail among them.
    Email,
}

/// `None` without a certificate, or if no rule is for it.
pub(super) fn recognise(
    rules: &[SubjectRule],
    knock: &Knock<'_>,
) -> Option<Result<Caller, Refusal>> {
    let secured = knock.shown.peer?.secured.as_deref()?;
    let (_, certificate) =
        x509_parser::parse_x509_certificate(secured.client_chain.first()?).ok()?;
    let name = rules.iter().find_map(|rule| rule.name_in(&certificate))?;
    Some(Caller::checked(&name).ok_or(Refusal::NotAllowed))
}

impl SubjectRule {
    fn name_in(&self, certificate: &X509Certificate<'_>) -> Option<String> {
        let found = self.field.of(certificate).into_iter().find(|name| self.pattern.fits(name))?;
        Some(self.name.clone().unwrap_or_else(|| found.to_owned()))
    }
}

impl SubjectField {
    fn of<'c>(self, certificate: &'c X509Certificate<'_>) -> Vec<&'c str> {
        let subject = certificate.subject();
        match self {
            Self::CommonName => {
                subject.iter_common_name().filter_map(|name| name.as_str().ok()).collect()
            }
            Self::Unit => {
                subject.iter_organizational_unit().filter_map(|unit| unit.as_str().ok()).collect()
            }
            Self::Dns | Self::Uri | Self::Email => self.among_alternatives(certificate),
        }
    }

    fn among_alternatives<'c>(self, certificate: &'c X509Certificate<'_>) -> Vec<&'c str> {
        let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
        let of_kind = |name: &'c GeneralName<'_>| match (self, name) {
            (Self::Dns, GeneralName::DNSName(name))
            | (Self::Uri, GeneralName::URI(name))
            | (Self::Email, GeneralName::RFC822Name(name)) => Some(*name),
            _ => None,
        };
        names.value.general_names.iter().filter_map(of_kind).collect()
    }
}
