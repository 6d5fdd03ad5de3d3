//! Writes an answer in the form of its request.

use bytes::Bytes;
use minicbor::Encoder;

use super::call::Form;

/// A document under way; every name is written at most once by whoever holds the pen.
pub(super) struct Pen {
    form: Form,
    out: Vec<u8>,
    /// Whether something stands before in the same map or list of JSON.
    follows: bool,
}

impl Pen {
    /// A whole document of about so many bytes.
    pub(super) fn write(form: Form, bytes: usize, members: impl FnOnce(&mut Self)) -> Bytes {
        let mut pen = Self { form, out: Vec::with_capacity(bytes), follows: false };
        pen.map_of(members);
        pen.out.into()
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.words(value);
    }

    pub(super) fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        match self.form {
            Form::Json => self.out.extend_from_slice(value.to_string().as_bytes()),
            Form::Cbor => written(self.cbor().u64(value).map(drop)),
        }
    }

    pub(super) fn flag(&mut self, name: &str, value: bool) {
        self.name(name);
        match self.form {
            Form::Json => self.out.extend_from_slice(if value { b"true" } else { b"false" }),
            Form::Cbor => written(self.cbor().bool(value).map(drop)),
        }
    }

    /// Seconds with a fraction in JSON. In CBOR the services write milliseconds behind the tag that
    /// stands for seconds, and so their clients read them.
    pub(super) fn time(&mut self, name: &str, unix_ms: u64) {
        self.name(name);
        match self.form {
            Form::Json => {
                let (seconds, ms) = (unix_ms / 1000, unix_ms % 1000);
                self.out.extend_from_slice(format!("{seconds}.{ms:03}").as_bytes());
            }
            Form::Cbor => {
                let mut cbor = self.cbor();
                written(cbor.tag(minicbor::data::IanaTag::Timestamp).map(drop));
                written(cbor.u64(unix_ms).map(drop));
            }
        }
    }

    pub(super) fn map(&mut self, name: &str, members: impl FnOnce(&mut Self)) {
        self.name(name);
        self.map_of(members);
    }

    /// A list of maps.
    pub(super) fn maps<T>(
        &mut self,
        name: &str,
        all: impl IntoIterator<Item = T>,
        mut members: impl FnMut(&mut Self, T),
    ) {
        self.list(name, |pen| {
            for one in all {
                pen.follow();
                pen.map_of(|pen| members(pen, one));
            }
        });
    }

    /// A list of texts.
    pub(super) fn texts<'a>(&mut self, name: &str, all: impl IntoIterator<Item = &'a str>) {
        self.list(name, |pen| {
            for one in all {
                pen.follow();
                pen.words(one);
            }
        });
    }

    fn list(&mut self, name: &str, elements: impl FnOnce(&mut Self)) {
        self.name(name);
        match self.form {
            Form::Json => self.out.push(b'['),
            Form::Cbor => written(self.cbor().begin_array().map(drop)),
        }
        self.follows = false;
        elements(self);
        match self.form {
            Form::Json => self.out.push(b']'),
            Form::Cbor => written(self.cbor().end().map(drop)),
        }
        self.follows = true;
    }

    fn map_of(&mut self, members: impl FnOnce(&mut Self)) {
        match self.form {
            Form::Json => self.out.push(b'{'),
            Form::Cbor => written(self.cbor().begin_map().map(drop)),
        }
        self.follows = false;
        members(self);
        match self.form {
            Form::Json => self.out.push(b'}'),
            Form::Cbor => written(self.cbor().end().map(drop)),
        }
        self.follows = true;
    }

    fn name(&mut self, name: &str) {
        self.follow();
        self.words(name);
        if self.form == Form::Json {
            self.out.push(b':');
        }
    }

    /// JSON has commas between; CBOR has nothing.
    fn follow(&mut self) {
        if self.follows && self.form == Form::Json {
            self.out.push(b',');
        }
        self.follows = true;
    }

    fn words(&mut self, words: &str) {
        match self.form {
            Form::Json => serde_json::to_writer(&mut self.out, words)
                .expect("a text can be written as JSON into memory"),
            Form::Cbor => written(self.cbor().str(words).map(drop)),
        }
    }

    fn cbor(&mut self) -> Encoder<&mut Vec<u8>> {
        Encoder::new(&mut self.out)
    }
}

fn written<E: std::fmt::Debug>(result: Result<(), E>) {
    result.expect("memory takes what is written to it");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(form: Form) -> Bytes {
        Pen::write(form, 64, |pen| {
            pen.text("Name", "a\"\u{e9}");
            pen.maps("Records", [1, 2], |pen, number| pen.number("Number", number));
            pen.texts("Empty", []);
            pen.map("Inner", |pen| pen.time("At", 1_795_327_519_023));
            pen.flag("Done", true);
        })
    }

    #[test]
    fn json_has_commas_between_and_times_in_seconds() {
        let expected = r#"{"Name":"a\"é","Records":[{"Number":1},{"Number":2}],"Empty":[],"Inner":{"At":1795327519.023},"Done":true}"#;
        assert_eq!(document(Form::Json), expected);
    }

    #[test]
    fn cbor_has_open_ends_and_times_in_milliseconds() {
        let said = document(Form::Cbor);

        let value: ciborium::Value = ciborium::from_reader(&said[..]).unwrap();
        let number = |number: u64| ciborium::Value::Integer(number.into());
        let text = |text: &str| ciborium::Value::Text(text.into());
        let record = |of| ciborium::Value::Map(vec![(text("Number"), number(of))]);
        let time = ciborium::Value::Tag(1, Box::new(number(1_795_327_519_023)));
        let expected = vec![
            (text("Name"), text("a\"\u{e9}")),
            (text("Records"), ciborium::Value::Array(vec![record(1), record(2)])),
            (text("Empty"), ciborium::Value::Array(Vec::new())),
            (text("Inner"), ciborium::Value::Map(vec![(text("At"), time)])),
            (text("Done"), ciborium::Value::Bool(true)),
        ];
        assert_eq!(value, ciborium::Value::Map(expected));
        assert_eq!((said[0], said[said.len() - 1]), (0xbf, 0xff));
    }
}
