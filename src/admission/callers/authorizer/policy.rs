//! What an authorizer answers: an IAM policy, or yes and no.

use serde::Deserialize;
use serde_json::{Map, Value};

/// Most statements of a policy.
const STATEMENTS_MAX: usize = 100;
const INVOKE: &str = "execute-api:Invoke";

/// An answer that can be kept: what it allows is decided anew for each request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    /// Who it is; nobody in particular if it is empty.
    pub(super) principal: String,
    /// What is asked for of its `context`.
    pub(super) context: Map<String, Value>,
    allows: Allows,
}

#[derive(Clone, Debug, PartialEq)]
enum Allows {
    Simply(bool),
    By(Vec<Statement>),
}

#[derive(Clone, Debug, PartialEq)]
struct Statement {
    is_allow: bool,
    actions: Vec<String>,
    resources: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    principal_id: Option<String>,
    policy_document: Option<Document>,
    is_authorized: Option<bool>,
    #[serde(default)]
    context: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    statement: OneOrMany<WrittenStatement>,
}

/// Conditions and exclusions are not read over: a policy that says more than we understand is no
/// answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct WrittenStatement {
    effect: Effect,
    action: OneOrMany<String>,
    resource: OneOrMany<String>,
    #[serde(rename = "Sid")]
    _sid: Option<String>,
}

#[derive(Deserialize, PartialEq)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    Many(Vec<T>),
    One(T),
}

impl<T> From<OneOrMany<T>> for Vec<T> {
    fn from(written: OneOrMany<T>) -> Self {
        match written {
            OneOrMany::Many(all) => all,
            OneOrMany::One(one) => vec![one],
        }
    }
}

impl Answer {
    /// Reads an answer, and of its `context` the members of these names.
    ///
    /// # Errors
    /// In words, what it lacks.
    pub(super) fn parse<'a>(
        json: &[u8],
        context: impl Iterator<Item = &'a str>,
    ) -> Result<Self, String> {
        let written: Written = serde_json::from_slice(json)
            .map_err(|error| format!("its answer is not as API Gateway wants it: {error}"))?;
        let allows = match (written.policy_document, written.is_authorized) {
            (Some(document), None) => Allows::By(statements(document)?),
            (None, Some(yes)) => Allows::Simply(yes),
            _ => {
                let why = "its answer has neither `policyDocument` nor `isAuthorized`, or both";
                return Err(why.to_owned());
            }
        };
        let mut all = written.context.unwrap_or_default();
        let context = context.filter_map(|name| all.remove_entry(name)).collect();
        let principal = written.principal_id.unwrap_or_default();
        Ok(Self { principal, context, allows })
    }

    /// What it takes of memory, about, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let text = |text: &str| text.len() + PIECE_BYTES;
        let texts = |all: &[String]| all.iter().map(|one| text(one)).sum::<usize>();
        let context = self.context.iter().map(|(name, value)| text(name) + bytes_of(value));
        let statements = match &self.allows {
            Allows::Simply(_) => 0,
            Allows::By(all) => {
                let one = |one: &Statement| texts(&one.actions) + texts(&one.resources);
                all.iter().map(|statement| one(statement) + PIECE_BYTES).sum()
            }
        };
        PIECE_BYTES + text(&self.principal) + context.sum::<usize>() + statements
    }

    /// Whether it lets this request in: a Deny that fits beats every Allow, and nothing is No.
    pub(super) fn allows(&self, arn: &str) -> bool {
        let statements = match &self.allows {
            Allows::Simply(yes) => return *yes,
            Allows::By(statements) => statements,
        };
        let fits = |statement: &&Statement| {
            statement
                .actions
                .iter()
                .any(|action| fits(&action.to_ascii_lowercase(), &INVOKE.to_ascii_lowercase()))
                && statement.resources.iter().any(|resource| fits(resource, arn))
        };
        let (mut allowed, mut denied) = (false, false);
        for statement in statements.iter().filter(fits) {
            allowed |= statement.is_allow;
            denied |= !statement.is_allow;
        }
        allowed && !denied
    }
}

/// What a text or a value takes beside its bytes.
const PIECE_BYTES: usize = 96;

fn bytes_of(value: &Value) -> usize {
    let inner = match value {
        Value::String(text) => text.len(),
        Value::Array(all) => all.iter().map(bytes_of).sum(),
        Value::Object(all) => all.iter().map(|(name, value)| name.len() + bytes_of(value)).sum(),
        _ => 0,
    };
    PIECE_BYTES + inner
}

fn statements(document: Document) -> Result<Vec<Statement>, String> {
    let written: Vec<WrittenStatement> = document.statement.into();
    if written.len() > STATEMENTS_MAX {
        let count = written.len();
        return Err(format!("its policy has {count} statements; {STATEMENTS_MAX} are read"));
    }
    let statement = |written: WrittenStatement| Statement {
        is_allow: written.effect == Effect::Allow,
        actions: written.action.into(),
        resources: written.resource.into(),
    };
    Ok(written.into_iter().map(statement).collect())
}

/// As IAM matches: `*` stands for anything, `?` for one character. Goes back to the last star only,
/// which is enough and takes time by the product of both lengths at most.
fn fits(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    let mut last_star = None;
    loop {
        let (before, here) = (pattern.clone(), text.clone());
        match (pattern.next(), text.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                last_star = Some((pattern.clone(), here.clone()));
                text = here;
            }
            (Some(wanted), Some(has)) if wanted == '?' || wanted == has => {}
            _ => {
                let Some((behind, mut from)) = last_star.take() else { return false };
                if from.next().is_none() {
                    return false;
                }
                drop(before);
                pattern = behind.clone();
                text = from.clone();
                last_star = Some((behind, from));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:execute-api:eu-west-1:1:weir/prod/POST/v1/streams/access";

    fn policy(statements: &str) -> Answer {
        let json = format!(
            r#"{{"principalId":"p","policyDocument":{{"Version":"2012-10-17","Statement":{statements}}}}}"#
        );
        Answer::parse(json.as_bytes(), ["plan"].into_iter()).unwrap()
    }

    fn statement(effect: &str, resource: &str) -> String {
        format!(r#"{{"Action":"execute-api:Invoke","Effect":"{effect}","Resource":{resource}}}"#)
    }

    #[test]
    fn stars_and_question_marks_fit_as_iam_has_them() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "a/b", true),
            ("a*", "abc", true),
            ("a*c", "abc", true),
            ("a*c", "abd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*b*b", "abab", true),
            ("*bb", "abab", false),
            ("", "", true),
            ("", "a", false),
            ("a", "", false),
            ("**", "", true),
            ("*?", "", false),
            ("*?", "é", true),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_deny_beats_every_allow_and_nothing_is_no() {
        let allow = statement("Allow", r#""arn:aws:execute-api:*/prod/POST/*""#);
        let deny = statement("Deny", r#"["x","*/access"]"#);
        let other = statement("Allow", r#""*/GET/*""#);

        assert!(policy(&allow).allows(ARN));
        assert!(policy(&format!("[{allow}]")).allows(ARN));
        assert!(!policy(&format!("[{allow},{deny}]")).allows(ARN));
        assert!(!policy(&other).allows(ARN));
        assert!(!policy("[]").allows(ARN));
        let action = allow.replace("execute-api:Invoke", "execute-api:ManageConnections");
        assert!(!policy(&action).allows(ARN));
        assert!(policy(&allow.replace("execute-api:Invoke", "execute-API:*")).allows(ARN));
    }

    #[test]
    fn yes_and_no_are_answers_too() {
        let answer = |json: &str| Answer::parse(json.as_bytes(), ["plan"].into_iter()).unwrap();
        let yes = answer(r#"{"isAuthorized":true,"context":{"plan":"gold","n":1}}"#);

        assert!(yes.allows(ARN) && yes.principal.is_empty());
        assert_eq!(yes.context["plan"], "gold");
        assert_eq!(yes.context.len(), 1, "nobody asks for the rest");
        assert!(!answer(r#"{"isAuthorized":false}"#).allows(ARN));
    }

    #[test]
    fn an_answer_weighs_what_it_keeps() {
        let small = policy(&statement("Allow", "\"*\""));
        let many = vec!["\"*\""; 1_000].join(",");
        let long = format!("\"{}\"", "x".repeat(10_000));

        assert!((200..2_000).contains(&small.bytes()));
        assert!(policy(&statement("Allow", &format!("[{many}]"))).bytes() > 1_000 * PIECE_BYTES);
        assert!(policy(&statement("Allow", &long)).bytes() > 10_000);
        let context = |name: &str| {
            let json = format!(r#"{{"isAuthorized":true,"context":{{"{name}":[{long},{long}]}}}}"#);
            Answer::parse(json.as_bytes(), ["plan"].into_iter()).unwrap().bytes()
        };
        assert!(context("plan") > 20_000 && context("other") < 1_000);
    }

    #[test]
    fn what_is_not_understood_is_no_answer() {
        let conditional = r#"{"policyDocument":{"Statement":{"Action":"*","Effect":"Deny","Resource":"*","Condition":{}}}}"#;
        let excluding =
            r#"{"policyDocument":{"Statement":{"NotAction":"x","Effect":"Allow","Resource":"*"}}}"#;
        for wrong in [
            "",
            "null",
            "{}",
            r#"{"isAuthorized":"true"}"#,
            r#"{"isAuthorized":true,"policyDocument":{"Statement":[]}}"#,
            r#"{"policyDocument":{}}"#,
            r#"{"policyDocument":{"Statement":{"Action":"*","Effect":"allow","Resource":"*"}}}"#,
            r#"{"errorMessage":"Unauthorized"}"#,
            conditional,
            excluding,
        ] {
            assert!(Answer::parse(wrong.as_bytes(), [].into_iter()).is_err(), "{wrong}");
        }
    }
}
