//! The writer of the model, and the rotation behind it: what it wrote into which file, and where that lies.

use std::collections::VecDeque;

use super::*;

/// How files are rotated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fashion {
    /// `w.log-20260101` and not `w.log.1`.
    is_dated: bool,
    /// Copied and truncated, not renamed and created.
    copies: bool,
    /// Compressed later, if at all.
    packs: Option<&'static str>,
}

/// What was written into one file, and where it lies now.
#[derive(Debug)]
pub(super) struct Written {
    name: String,
    /// All of them, those in the gap too.
    pub(super) lines: Vec<String>,
    /// Lines written between the copy and the truncation.
    pub(super) gap: HashSet<String>,
    /// The line that is being written.
    rest: Option<String>,
}

#[derive(Debug)]
pub(super) struct Writer {
    fashion: Fashion,
    /// The one being written is the last.
    here: VecDeque<Written>,
    gone: Vec<Written>,
    /// The one before the last is a copy, and the last is still to be truncated.
    is_copied: bool,
    /// Half of a compressed file is written.
    is_packing: Option<String>,
    /// Counts lines, so that no two are equal, and rotations.
    begun: u32,
    rotated: u32,
    /// Seconds: every change has a time of its own.
    now: u64,
}

impl Fashion {
    pub(super) fn any(random: &mut fastrand::Rng) -> Self {
        let packs = [None, Some(".gz"), Some(".zst")];
        Self {
            is_dated: random.bool(),
            copies: random.bool(),
            packs: random.choice(packs).flatten(),
        }
    }
}

impl Writer {
    pub(super) fn new(fashion: Fashion) -> Self {
        let (here, gone) = (VecDeque::new(), Vec::new());
        let (begun, rotated, now) = (0, 0, 1_800_000_000);
        let (is_copied, is_packing) = (false, None);
        Self { fashion, here, gone, is_copied, is_packing, begun, rotated, now }
    }

    /// A generation nobody followed.
    pub(super) fn write_older(&mut self, scratch: &Scratch) {
        scratch.write("w.log-20250101", "rotated before anybody asked for it\n");
        self.touch(scratch, "w.log-20250101");
    }

    pub(super) fn create(&mut self, scratch: &Scratch) {
        scratch.write("w.log", "");
        self.touch(scratch, "w.log");
        self.here.push_back(Written::new("w.log".into()));
    }

    fn touch(&mut self, scratch: &Scratch, name: &str) {
        self.now += 1;
        let at = std::time::UNIX_EPOCH + Duration::from_secs(self.now);
        let file = fs::File::options().append(true).open(scratch.path(name)).unwrap();
        file.set_modified(at).unwrap();
    }

    pub(super) fn write(&mut self, scratch: &Scratch, random: &mut fastrand::Rng, finish: bool) {
        // A line in the gap is whole: half of it would be in neither file.
        let finish = finish || self.is_copied;
        self.write_to(scratch, self.here.len() - 1, random, finish);
    }

    pub(super) fn write_late(&mut self, scratch: &Scratch, random: &mut fastrand::Rng) {
        let Some(which) = self.here.len().checked_sub(2) else { return };
        if !self.fashion.copies && self.may_still_be_written(which) {
            self.write_to(scratch, which, random, true);
        }
    }

    /// What is rotated while it is empty is no place for lines any more.
    fn may_still_be_written(&self, which: usize) -> bool {
        if self.here[which].lines.is_empty() {
            return false;
        }
        let name = &self.here[which].name;
        let is_packed = self.fashion.packs.is_some_and(|end| name.ends_with(end));
        !is_packed && self.is_packing.is_none()
    }

    pub(super) fn write_to(
        &mut self,
        scratch: &Scratch,
        which: usize,
        random: &mut fastrand::Rng,
        finish: bool,
    ) {
        let file = &mut self.here[which];
        let line = file.rest.take().unwrap_or_else(|| {
            self.begun += 1;
            // What is shorter than a copy must be to be known by its beginning is not told apart.
            let least = if file.lines.is_empty() { 64 } else { 0 };
            let line = format!("{}-{}", self.begun, "é".repeat(random.usize(least..least + 20)));
            scratch.write(&file.name, &line);
            line
        });
        if finish {
            scratch.write(&file.name, "\n");
            if self.is_copied {
                file.gap.insert(line.clone());
            }
            file.lines.push(line);
        } else {
            file.rest = Some(line);
        }
        let name = file.name.clone();
        self.touch(scratch, &name);
    }

    fn finish_line(&mut self, scratch: &Scratch, which: usize) {
        if let Some(line) = self.here[which].rest.take() {
            let name = self.here[which].name.clone();
            scratch.write(&name, "\n");
            self.here[which].lines.push(line);
            self.touch(scratch, &name);
        }
    }

    /// All generations move on by one, unless a date is their name for ever.
    pub(super) fn rotate(&mut self, scratch: &Scratch) {
        if self.is_copied || self.is_packing.is_some() || self.here.len() > 8 {
            return;
        }
        let last = self.here.len() - 1;
        self.finish_line(scratch, last);
        self.rotated += 1;
        if !self.fashion.is_dated {
            for file in self.here.iter_mut().take(last) {
                let next = file.next_name();
                scratch.rename(&file.name, &next);
                file.name = next;
            }
        }
        let name = if self.fashion.is_dated {
            format!("w.log-{}", 20_260_100 + self.rotated)
        } else {
            "w.log.1".into()
        };
        if self.fashion.copies {
            scratch.copy("w.log", &name);
            self.touch(scratch, &name);
            self.is_copied = true;
        } else {
            scratch.rename("w.log", &name);
            self.here[last].name = name;
            self.create(scratch);
        }
    }

    /// The second half of copying and truncating.
    pub(super) fn truncate(&mut self, scratch: &Scratch) {
        if !std::mem::take(&mut self.is_copied) {
            return;
        }
        scratch.truncate("w.log");
        self.touch(scratch, "w.log");
        let mut copy = self.here.pop_back().unwrap();
        copy.name = if self.fashion.is_dated {
            format!("w.log-{}", 20_260_100 + self.rotated)
        } else {
            "w.log.1".into()
        };
        self.here.push_back(copy);
        self.here.push_back(Written::new("w.log".into()));
    }

    /// Compresses the oldest that is not, in two steps, as `gzip` does: the compressed file grows, then
    /// the other goes.
    pub(super) fn pack(&mut self, scratch: &Scratch, random: &mut fastrand::Rng) {
        let Some(end) = self.fashion.packs.filter(|_| !self.is_copied) else { return };
        let last = self.here.len() - 1;
        let Some(which) = (0..last).find(|which| !self.here[*which].name.ends_with(end)) else {
            return;
        };
        self.finish_line(scratch, which);
        let name = self.here[which].name.clone();
        if self.is_packing.is_none() && random.bool() {
            let all = packed(&fs::read(scratch.path(&name)).unwrap(), end);
            fs::write(scratch.path(&format!("{name}{end}")), &all[..all.len() / 2]).unwrap();
            self.is_packing = Some(name);
        } else {
            scratch.pack(&name, end);
            self.here[which].name = format!("{name}{end}");
            self.is_packing = None;
        }
    }

    pub(super) fn remove_oldest(&mut self, scratch: &Scratch, delivered: &HashSet<String>) {
        let Some(which) = self.oldest() else { return };
        let file = &self.here[which];
        let must = |line: &&String| !file.gap.contains(*line);
        if file.rest.is_none()
            && file.lines.iter().filter(must).all(|line| delivered.contains(line))
        {
            self.remove(scratch, which);
        }
    }

    /// The oldest, if it is renamed and not compressed yet: somebody may still write into it.
    pub(super) fn oldest_open(&self) -> Option<usize> {
        let is_open = |which: &usize| !self.fashion.copies && self.may_still_be_written(*which);
        self.oldest().filter(is_open)
    }

    /// One that is neither copied nor compressed just now.
    fn oldest(&self) -> Option<usize> {
        let is_free = self.here.len() > 1 && !self.is_copied && self.is_packing.is_none();
        is_free.then_some(0)
    }

    pub(super) fn remove(&mut self, scratch: &Scratch, which: usize) {
        let file = self.here.remove(which).unwrap();
        scratch.remove(&file.name);
        self.gone.push(file);
    }

    /// Everything half done is done.
    pub(super) fn finish(&mut self, scratch: &Scratch, random: &mut fastrand::Rng) {
        self.truncate(scratch);
        while self.is_packing.is_some() {
            self.pack(scratch, random);
        }
        (0..self.here.len()).for_each(|which| self.finish_line(scratch, which));
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &Written> {
        self.gone.iter().chain(&self.here)
    }
}

impl Written {
    fn new(name: String) -> Self {
        Self { name, lines: Vec::new(), gap: HashSet::new(), rest: None }
    }

    /// `w.log.2.gz` after `w.log.1.gz`.
    fn next_name(&self) -> String {
        let count = self.name.strip_prefix("w.log.").unwrap();
        let (number, end) = match count.split_once('.') {
            Some((number, end)) => (number, format!(".{end}")),
            None => (count, String::new()),
        };
        format!("w.log.{}{end}", number.parse::<u32>().unwrap() + 1)
    }
}
