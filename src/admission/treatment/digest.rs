//! `sha2` and `hmac` as VRL has them, on the hashes that weir has anyway: VRL's own bring ciphers.

use bytes::Bytes;
use ring::hmac;
use sha2::{Digest as _, Sha224, Sha256, Sha384, Sha512, Sha512_224, Sha512_256};
use vrl::compiler::prelude::{
    ArgumentList, Compiled, Context, Example, Expression, Function, FunctionCompileContext,
    FunctionExpression, Parameter, Resolved, TypeDef, TypeState, VrlValueConvert as _, kind,
};
use vrl::value::Value;

/// `sha2(value, variant)`: the hash in hexadecimal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sha2;

/// `hmac(value, key, algorithm)`: the bytes of the code.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hmac;

const VARIANTS: [&str; 6] =
    ["SHA-512/256", "SHA-224", "SHA-256", "SHA-384", "SHA-512", "SHA-512/224"];
const ALGORITHMS: [&str; 3] = ["SHA-256", "SHA-384", "SHA-512"];

/// The one that is named, or else the first.
fn chosen(
    arguments: &ArgumentList,
    name: &'static str,
    all: &[&'static str],
    state: &TypeState,
) -> Result<Bytes, Box<dyn vrl::diagnostic::DiagnosticMessage>> {
    let values: Vec<Value> = all.iter().map(|one| Value::from(*one)).collect();
    let named = arguments.optional_enum(name, &values, state)?;
    let default = all.first().copied().unwrap_or_default();
    let value = named.unwrap_or_else(|| Value::from(default));
    Ok(value.try_bytes().unwrap_or_else(|_| Bytes::from_static(default.as_bytes())))
}

fn hex(bytes: &[u8]) -> Value {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

impl Function for Sha2 {
    fn identifier(&self) -> &'static str {
        "sha2"
    }

    fn usage(&self) -> &'static str {
        "The SHA-2 hash of a text, in hexadecimal."
    }

    fn category(&self) -> &'static str {
        "Cryptography"
    }

    fn return_kind(&self) -> u16 {
        kind::BYTES
    }

    fn parameters(&self) -> &'static [Parameter] {
        const {
            &[
                Parameter::required("value", kind::BYTES, "The text."),
                Parameter::optional("variant", kind::BYTES, "SHA-512/256 without one."),
            ]
        }
    }

    fn examples(&self) -> &'static [Example] {
        &[]
    }

    fn compile(
        &self,
        state: &TypeState,
        _: &mut FunctionCompileContext,
        arguments: ArgumentList,
    ) -> Compiled {
        let variant = chosen(&arguments, "variant", &VARIANTS, state)?;
        Ok(Sha2Of { value: arguments.required("value"), variant }.as_expr())
    }
}

#[derive(Clone, Debug)]
struct Sha2Of {
    value: Box<dyn Expression>,
    variant: Bytes,
}

impl FunctionExpression for Sha2Of {
    fn resolve(&self, context: &mut Context<'_>) -> Resolved {
        let value = self.value.resolve(context)?.try_bytes()?;
        Ok(match self.variant.as_ref() {
            b"SHA-224" => hex(&Sha224::digest(&value)),
            b"SHA-256" => hex(&Sha256::digest(&value)),
            b"SHA-384" => hex(&Sha384::digest(&value)),
            b"SHA-512" => hex(&Sha512::digest(&value)),
            b"SHA-512/224" => hex(&Sha512_224::digest(&value)),
            _ => hex(&Sha512_256::digest(&value)),
        })
    }

    fn type_def(&self, _: &TypeState) -> TypeDef {
        TypeDef::bytes().infallible()
    }
}

impl Function for Hmac {
    fn identifier(&self) -> &'static str {
        "hmac"
    }

    fn usage(&self) -> &'static str {
        "The code of a text under a key: bytes, for `encode_base16` or `encode_base64`."
    }

    fn category(&self) -> &'static str {
        "Cryptography"
    }

    fn return_kind(&self) -> u16 {
        kind::BYTES
    }

    fn parameters(&self) -> &'static [Parameter] {
        const {
            &[
                Parameter::required("value", kind::BYTES, "The text."),
                Parameter::required("key", kind::BYTES, "The key."),
                Parameter::optional("algorithm", kind::BYTES, "SHA-256 without one."),
            ]
        }
    }

    fn examples(&self) -> &'static [Example] {
        &[]
    }

    fn compile(
        &self,
        state: &TypeState,
        _: &mut FunctionCompileContext,
        arguments: ArgumentList,
    ) -> Compiled {
        let algorithm = match chosen(&arguments, "algorithm", &ALGORITHMS, state)?.as_ref() {
            b"SHA-384" => hmac::HMAC_SHA384,
            b"SHA-512" => hmac::HMAC_SHA512,
            _ => hmac::HMAC_SHA256,
        };
        let (value, key) = (arguments.required("value"), arguments.required("key"));
        Ok(HmacOf { value, key, algorithm }.as_expr())
    }
}

#[derive(Clone, Debug)]
struct HmacOf {
    value: Box<dyn Expression>,
    key: Box<dyn Expression>,
    algorithm: hmac::Algorithm,
}

impl FunctionExpression for HmacOf {
    fn resolve(&self, context: &mut Context<'_>) -> Resolved {
        let value = self.value.resolve(context)?.try_bytes()?;
        let key = self.key.resolve(context)?.try_bytes()?;
        let key = hmac::Key::new(self.algorithm, &key);
        Ok(Value::from(Bytes::copy_from_slice(hmac::sign(&key, &value).as_ref())))
    }

    fn type_def(&self, _: &TypeState) -> TypeDef {
        TypeDef::bytes().infallible()
    }
}
