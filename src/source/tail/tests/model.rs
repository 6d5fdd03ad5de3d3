//! A writer that rotates and a follower that dies, against a model: every line exactly once, and
//! those of one file in their order. `SEED=7` plays that seed again, `WEIR_TEST_SEEDS=5000` plays so many.

use super::*;

/// What was written into one file, and where it lies now.
#[derive(Debug)]
struct Written {
    name: String,
    lines: Vec<String>,
    /// Bytes of the line that is being written.
    rest: Option<String>,
}

#[derive(Debug)]
struct World {
    random: fastrand::Rng,
    room: Room,
    /// The globs find rotated files too.
    all_match: bool,
    /// The one being written is the last.
    files: Vec<Written>,
    /// Counts lines, so that no two are equal.
    begun: usize,
    expected: Vec<Vec<String>>,
    log: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let all_match = random.bool();
        let mut room = Room::new(if all_match { &["w.log*"] } else { &["w.log"] });
        room.settings.framing.record_bytes_max = 100;
        room.start();
        let mut world = Self {
            random,
            room,
            all_match,
            files: Vec::new(),
            begun: 0,
            expected: Vec::new(),
            log: Vec::new(),
        };
        world.create();
        world
    }

    fn create(&mut self) {
        self.room.scratch.write("w.log", "");
        self.files.push(Written { name: "w.log".into(), lines: Vec::new(), rest: None });
    }

    fn write(&mut self, which: usize, finish: bool) {
        let wide = "é".repeat(self.random.usize(..20));
        let file = &mut self.files[which];
        let line = file.rest.take().unwrap_or_else(|| {
            self.begun += 1;
            let line = format!("{}-{wide}", self.begun);
            self.room.scratch.write(&file.name, &line);
            line
        });
        if finish {
            self.room.scratch.write(&file.name, "\n");
            file.lines.push(line);
        } else {
            file.rest = Some(line);
        }
    }

    fn finish(&mut self, which: usize) {
        if self.files[which].rest.is_some() {
            self.write(which, true);
        }
    }

    /// All generations move on by one. A file that the globs do not find under its new name must
    /// be known by then; nobody could tell that it once was one to follow.
    fn rotate(&mut self) {
        if !self.all_match && !self.is_known() {
            return;
        }
        let last = self.files.len() - 1;
        self.finish(last);
        for file in &mut self.files {
            let next = match file.name.strip_prefix("w.log.") {
                Some(number) => format!("w.log.{}", number.parse::<u32>().unwrap() + 1),
                None => "w.log.1".into(),
            };
            file.name = next;
        }
        for file in &self.files {
            let before = match file.name.strip_prefix("w.log.").unwrap() {
                "1" => "w.log".to_owned(),
                number => format!("w.log.{}", number.parse::<u32>().unwrap() - 1),
            };
            self.room.scratch.rename(&before, &file.name);
        }
        self.create();
    }

    /// Whether the mark speaks of what is in the current file now.
    fn is_known(&self) -> bool {
        let Some(saved) = mark_of(&self.room.door, &self.room.scratch.path("w.log")) else {
            return false;
        };
        let lines = self.room.door.lines();
        let current = self.files.last().unwrap();
        saved.progress.position == 0 || current.lines.iter().any(|line| lines.contains(line))
    }

    fn is_delivered(&self, which: usize) -> bool {
        let lines = self.room.door.lines();
        let file = &self.files[which];
        file.rest.is_none() && file.lines.iter().all(|line| lines.contains(line))
    }

    fn remove_oldest(&mut self) {
        if self.files.len() > 1 && self.is_delivered(0) {
            let file = self.files.remove(0);
            self.room.scratch.remove(&file.name);
            self.expected.push(file.lines);
        }
    }

    fn copy_and_truncate(&mut self) {
        let last = self.files.len() - 1;
        if self.is_delivered(last) {
            self.room.scratch.truncate("w.log");
            self.expected.push(std::mem::take(&mut self.files[last].lines));
        }
    }

    async fn act(&mut self) {
        let action = self.random.u32(..20);
        self.log.push(format!("{action}"));
        let last = self.files.len() - 1;
        match action {
            0..=4 => self.write(last, true),
            5 | 6 => self.write(last, false),
            7 if last > 0 => self.write(last - 1, true),
            8 | 9 => self.rotate(),
            10 => self.copy_and_truncate(),
            11 => self.remove_oldest(),
            12 => self.room.door.store().die = Some(Death::BeforeStoring),
            13 => self.room.door.store().die = Some(Death::AfterStoring),
            14 => {
                let refuse = self.random.bool().then(full).flatten();
                self.room.door.store().refuse = refuse;
            }
            15 => tokio::time::advance(Duration::from_millis(self.random.u64(..8000))).await,
            16 => self.room.kill(),
            _ => {
                if !self.room.is_up() {
                    self.room.start();
                }
                if self.random.u32(..3) > 0 {
                    self.room.scan().await;
                } else {
                    self.room.written("w.log");
                }
                for _ in 0..self.random.u32(1..4) {
                    self.room.step().await;
                }
            }
        }
    }

    async fn end(mut self) -> Vec<String> {
        (0..self.files.len()).for_each(|which| self.finish(which));
        (self.room.door.store().die, self.room.door.store().refuse) = (None, None);
        if !self.room.is_up() {
            self.room.start();
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        self.room.grace().await;

        self.expected.extend(self.files.into_iter().map(|file| file.lines));
        let lines = self.room.door.lines();
        let mut places = BTreeMap::new();
        for (place, line) in lines.iter().enumerate() {
            assert_eq!(places.insert(line.as_str(), place), None, "twice: {line}");
        }
        for file in &self.expected {
            let found: Vec<_> = file.iter().map(|line| places.remove(line.as_str())).collect();
            assert!(found.iter().all(Option::is_some), "missing of {file:?}: {found:?}");
            assert!(found.is_sorted(), "out of order: {file:?}: {found:?}");
        }
        assert!(places.is_empty(), "never written: {places:?}");
        self.log.extend(lines);
        self.log
    }
}

async fn play(seed: u64) -> Vec<String> {
    let mut world = World::new(seed);
    for _ in 0..200 {
        world.act().await;
    }
    world.end().await
}

/// Says which seed failed.
struct Playing(u64);

impl Drop for Playing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("play it again with SEED={}", self.0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_line_comes_exactly_once_whatever_writer_and_follower_do() {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let seeds = 0..number("WEIR_TEST_SEEDS").unwrap_or(200);
    for seed in number("SEED").map_or(seeds, |seed| seed..seed + 1) {
        let playing = Playing(seed);
        play(seed).await;
        drop(playing);
    }
}

#[tokio::test(start_paused = true)]
async fn one_seed_always_plays_the_same() {
    assert_eq!(play(7).await, play(7).await);
}
