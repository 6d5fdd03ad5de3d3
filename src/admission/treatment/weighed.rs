//! Functions of VRL whose answers are weighed, and which are not asked for what is too much to make
//! in one step, where a record says how much that is.

use vrl::compiler::prelude::{
    ArgumentList, Compiled, Context, Example, Expression, ExpressionError, Function,
    FunctionCompileContext, Parameter, Resolved, TypeDef, TypeInfo, TypeState, closure,
};
use vrl::path::OwnedTargetPath;
use vrl::value::Value;

use super::weight::{MADE_BYTES_MAX, TOO_MUCH, fits};

/// Most digits behind the point, and most elements that `set` makes room for.
const DIGITS_MAX: i64 = 1_000;
const INDEX_MAX: u64 = 100_000;
/// Beyond these a number has no decimal form.
const DECIMAL_MAX: f64 = 7.9e28;
/// What a match of a pattern costs with its names.
const MATCH_BYTES: usize = 1_000;

/// A function of VRL, weighed.
#[derive(Debug)]
pub(super) struct Weighed(pub(super) Box<dyn Function>);

impl Function for Weighed {
    fn identifier(&self) -> &'static str {
        self.0.identifier()
    }

    fn summary(&self) -> &'static str {
        self.0.summary()
    }

    fn usage(&self) -> &'static str {
        self.0.usage()
    }

    fn category(&self) -> &'static str {
        self.0.category()
    }

    fn return_kind(&self) -> u16 {
        self.0.return_kind()
    }

    fn pure(&self) -> bool {
        self.0.pure()
    }

    fn examples(&self) -> &'static [Example] {
        self.0.examples()
    }

    fn parameters(&self) -> &'static [Parameter] {
        self.0.parameters()
    }

    fn closure(&self) -> Option<closure::Definition> {
        self.0.closure()
    }

    fn compile(
        &self,
        state: &TypeState,
        context: &mut FunctionCompileContext,
        arguments: ArgumentList,
    ) -> Compiled {
        let risk = Risk::of(self.0.identifier(), &arguments, state);
        let call = self.0.compile(state, context, arguments)?;
        Ok(Box::new(WeighedCall { call, risk }))
    }
}

#[derive(Clone, Debug)]
struct WeighedCall {
    call: Box<dyn Expression>,
    risk: Option<Risk>,
}

impl Expression for WeighedCall {
    fn resolve(&self, context: &mut Context<'_>) -> Resolved {
        if let Some(risk) = &self.risk
            && risk.is_too_much(context)?
        {
            return Err(TOO_MUCH.into());
        }
        let made = self.call.resolve(context)?;
        if fits(&made, &mut { MADE_BYTES_MAX }) { Ok(made) } else { Err(TOO_MUCH.into()) }
    }

    fn resolve_unused(&self, context: &mut Context<'_>) -> Result<(), ExpressionError> {
        match &self.risk {
            Some(_) => self.resolve(context).map(drop),
            None => self.call.resolve_unused(context),
        }
    }

    fn resolve_constant(&self, state: &TypeState) -> Option<Value> {
        self.call.resolve_constant(state)
    }

    fn type_def(&self, state: &TypeState) -> TypeDef {
        self.call.type_def(state)
    }

    fn type_info(&self, state: &TypeState) -> TypeInfo {
        self.call.type_info(state)
    }

    fn apply_type_info(&self, state: &mut TypeState) -> TypeDef {
        self.call.apply_type_info(state)
    }

    fn format(&self) -> Option<String> {
        self.call.format()
    }
}

/// What makes much of little in one step. Arguments that the program itself says are its own affair.
#[derive(Clone, Debug)]
enum Risk {
    /// Each byte of the value may become all of that.
    Replace { value: Box<dyn Expression>, with: Box<dyn Expression> },
    /// The separator stands between all elements.
    Join { array: Box<dyn Expression>, separator: Box<dyn Expression> },
    /// So many zeros are written.
    Digits { value: Box<dyn Expression>, scale: Option<Box<dyn Expression>> },
    /// So many elements come before.
    Index { path: Box<dyn Expression> },
    /// Each element becomes the whole record.
    Unnest { array: Box<dyn Expression> },
    /// Each match becomes an object.
    Matches { value: Box<dyn Expression>, pattern: Box<dyn Expression> },
}

impl Risk {
    fn of(function: &str, arguments: &ArgumentList, state: &TypeState) -> Option<Self> {
        // Arguments are asked twice; what changes something by being asked is asked once.
        let required =
            |name| Some(arguments.required(name)).filter(|one| is_still(one.as_ref(), state));
        let optional = |name| arguments.optional(name).filter(|one| is_still(one.as_ref(), state));
        let is_said = |one: &dyn Expression| one.resolve_constant(state).is_some();
        match function {
            "replace" => {
                let with = required("with").filter(|with| !is_said(with.as_ref()))?;
                Some(Self::Replace { value: required("value")?, with })
            }
            "join" => {
                let separator = optional("separator").filter(|one| !is_said(one.as_ref()))?;
                Some(Self::Join { array: required("value")?, separator })
            }
            "format_number" => {
                let scale = optional("scale").filter(|one| !is_said(one.as_ref()));
                Some(Self::Digits { value: required("value")?, scale })
            }
            "set" => {
                let path = required("path").filter(|path| !is_said(path.as_ref()))?;
                Some(Self::Index { path })
            }
            "unnest" => Some(Self::Unnest { array: required("path")? }),
            "parse_regex_all" => {
                Some(Self::Matches { value: required("value")?, pattern: required("pattern")? })
            }
            _ => None,
        }
    }

    fn is_too_much(&self, context: &mut Context<'_>) -> Result<bool, ExpressionError> {
        Ok(match self {
            Self::Replace { value, with } => {
                let (value, with) = (text_bytes(value.as_ref(), context)?, text_bytes(with.as_ref(), context)?);
                value.saturating_mul(with) > MADE_BYTES_MAX
            }
            Self::Join { array, separator } => {
                let count = elements(&array.resolve(context)?);
                count.saturating_mul(text_bytes(separator.as_ref(), context)?) > MADE_BYTES_MAX
            }
            Self::Digits { value, scale } => {
                let is_beyond = match value.resolve(context)? {
                    Value::Float(number) => number.abs() >= DECIMAL_MAX,
                    _ => false,
                };
                let scale = scale.as_ref().map(|scale| scale.resolve(context)).transpose()?;
                is_beyond || matches!(scale, Some(Value::Integer(digits)) if digits > DIGITS_MAX)
            }
            Self::Index { path } => match path.resolve(context)? {
                Value::Array(steps) => steps.iter().any(|step| {
                    matches!(step, Value::Integer(index) if index.unsigned_abs() > INDEX_MAX)
                }),
                _ => false,
            },
            Self::Unnest { array } => {
                let count = elements(&array.resolve(context)?);
                let root = context.target().target_get(&OwnedTargetPath::event_root());
                let mut left = MADE_BYTES_MAX;
                let is_small = root.ok().flatten().is_none_or(|root| fits(root, &mut left));
                !is_small || count.saturating_mul(MADE_BYTES_MAX - left) > MADE_BYTES_MAX
            }
            Self::Matches { value, pattern } => {
                let (value, pattern) = (value.resolve(context)?, pattern.resolve(context)?);
                let (Some(text), Value::Regex(pattern)) = (value.to_str_lossy(), pattern) else {
                    return Ok(false);
                };
                let most = MADE_BYTES_MAX / MATCH_BYTES;
                text.len() > most && pattern.find_iter(&text).nth(most).is_some()
            }
        })
    }
}

fn is_still(argument: &dyn Expression, state: &TypeState) -> bool {
    argument.type_def(state).is_pure()
}

fn text_bytes(value: &dyn Expression, context: &mut Context<'_>) -> Result<usize, ExpressionError> {
    Ok(match value.resolve(context)? {
        Value::Bytes(text) => text.len(),
        Value::String(text) => text.len(),
        _ => 0,
    })
}

fn elements(value: &Value) -> usize {
    value.as_array().map_or(0, <[Value]>::len)
}
