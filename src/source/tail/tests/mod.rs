//! The room as its insiders see it: a door that records, a folder to write into, one step at a time.
pub(super) struct Scratch(std::path::PathBuf);
impl Scratch {
    pub(super) fn new() -> Self { todo!() }
    pub(super) fn path(&self, _n: &str) -> std::path::PathBuf { todo!() }
    pub(super) fn text(&self, _n: &str) -> String { todo!() }
    pub(super) fn write(&self, _n: &str, _t: &str) { todo!() }
}
