//! A token as it came, cut into its parts; nothing of it is believed yet.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// Three parts, each in base64 for URLs: header, claims, signature.
#[derive(Debug)]
pub(super) struct Signed<'t> {
    /// Header and claims as they were signed.
    message: &'t str,
    header: Header,
    payload: Vec<u8>,
    signature: Vec<u8>,
    issuer: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Names members that must be understood; none is.
    crit: Option<serde_json::Value>,
    /// Says that the claims are not in base64, which no token has.
    b64: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claimed {
    iss: Option<String>,
}

impl<'t> Signed<'t> {
    /// `None` if it is no token at all.
    pub(super) fn parse(token: &'t str) -> Option<Self> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
        let (payload, signature) = (decode(payload)?, decode(signature)?);
        let claimed: Claimed = serde_json::from_slice(&payload).ok()?;
        Some(Self { message, header, payload, signature, issuer: claimed.iss })
    }

    /// Whose token it says to be.
    pub(super) fn issuer(&self) -> Option<&String> {
        self.issuer.as_ref()
    }

    pub(super) fn algorithm(&self) -> &str {
        &self.header.alg
    }

    pub(super) fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    pub(super) fn has_extensions(&self) -> bool {
        self.header.crit.is_some() || self.header.b64.is_some()
    }

    pub(super) fn message(&self) -> &[u8] {
        self.message.as_bytes()
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    pub(super) fn signature(&self) -> &[u8] {
        &self.signature
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(json: &str) -> String {
        URL_SAFE_NO_PAD.encode(json)
    }

    #[test]
    fn a_token_has_three_parts_of_which_two_are_json() {
        let (header, claims) = (part(r#"{"alg":"RS256","kid":"k"}"#), part(r#"{"iss":"i"}"#));
        let whole = format!("{header}.{claims}.AAE");
        let signed = Signed::parse(&whole).unwrap();

        assert_eq!(signed.issuer().map(String::as_str), Some("i"));
        assert_eq!((signed.algorithm(), signed.key_id()), ("RS256", Some("k")));
        assert_eq!(signed.message(), format!("{header}.{claims}").as_bytes());
        assert_eq!((signed.signature(), signed.payload()), (&[0, 1][..], &br#"{"iss":"i"}"#[..]));
        for wrong in [
            String::new(),
            "..".into(),
            "weir_key".into(),
            format!("{header}.{claims}"),
            format!("{header}.{claims}.A"),
            format!("{header}.{claims}.AAE="),
            format!("{header}.{claims}.AA.E"),
            format!("{header}.{}.AAE", part("7")),
            format!("{}.{claims}.AAE", part(r#"{"kid":"k"}"#)),
            format!("{}.{claims}.AAE", part(r#"{"alg":"RS256","alg":"none"}"#)),
            format!("{header}.{}.AAE", part(r#"{"iss":["i"]}"#)),
        ] {
            assert!(Signed::parse(&wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn no_cut_or_changed_byte_passes_for_the_whole() {
        let whole = format!("{}.{}.AAE", part(r#"{"alg":"RS256"}"#), part(r#"{"iss":"i"}"#));
        for cut in 0..whole.len() - 3 {
            let said = Signed::parse(whole.get(..cut).unwrap());
            assert!(said.is_none(), "{cut}");
            let mut bytes = whole.clone().into_bytes();
            bytes[cut] = b'!';
            assert!(Signed::parse(std::str::from_utf8(&bytes).unwrap()).is_none(), "{cut}");
        }
    }
}
