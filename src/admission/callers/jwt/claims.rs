//! What a token says, once its signature is right.

use serde_json::{Map, Value};

use crate::admission::settings::JwtSettings;

/// The claims.
#[derive(Debug)]
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok().map(Self)
    }

    /// A claim that is a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// Everything but the signature; times are in seconds, and half seconds are times too.
    pub(super) fn check(&self, settings: &JwtSettings, now_ms: u64) -> Result<(), &'static str> {
        if self.text("iss") != Some(&settings.issuer) {
            return Err("it is of another issuer");
        }
        let leeway = settings.leeway.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "exact for 285,000 years")]
        let now = now_ms as f64 / 1000.0;
        if self.time("exp")?.ok_or("it never expires")? <= now - leeway {
            return Err("it has expired");
        }
        if self.time("nbf")?.is_some_and(|from| from > now + leeway) {
            return Err("it is not valid yet");
        }
        if self.time("iat")?.is_some_and(|made| made > now + leeway) {
            return Err("it was made in the future");
        }
        self.check_audience(&settings.audience)?;
        self.check_scopes(&settings.scopes)?;
        for (name, wanted) in &settings.required {
            match (self.0.get(name), wanted) {
                (None | Some(Value::Null), _) => return Err("a claim is missing"),
                (Some(has), Some(wanted)) if !says(has, wanted) => {
                    return Err("a claim has another value");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A time that is no number must not pass for one that is not there.
    fn time(&self, name: &str) -> Result<Option<f64>, &'static str> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or("a time in it is none"),
        }
    }

    fn check_audience(&self, audience: &[String]) -> Result<(), &'static str> {
        let is_ours = |one: &str| audience.iter().any(|ours| ours == one);
        let fits = match self.0.get("aud") {
            None => self.text("client_id").is_some_and(is_ours),
            Some(Value::String(one)) => is_ours(one),
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).any(is_ours),
            Some(_) => false,
        };
        if fits { Ok(()) } else { Err("it is for another audience") }
    }

    fn check_scopes(&self, wanted: &[String]) -> Result<(), &'static str> {
        let has = |scope: &String| {
            ["scope", "scp"].iter().filter_map(|name| self.0.get(*name)).any(|all| says(all, scope))
        };
        if wanted.is_empty() || wanted.iter().any(has) { Ok(()) } else { Err("it lacks the scope") }
    }
}

/// Whether a claim is this text, a list that has it, or words with spaces between them that do.
fn says(has: &Value, wanted: &str) -> bool {
    match has {
        Value::String(text) => text == wanted || text.split(' ').any(|word| word == wanted),
        Value::Array(all) => all.iter().any(|one| one.as_str() == Some(wanted)),
        Value::Bool(flag) => flag.to_string() == wanted,
        Value::Number(number) => number.to_string() == wanted,
        Value::Null | Value::Object(_) => false,
    }
}
