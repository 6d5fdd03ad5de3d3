//! What is known of files that were followed before, and of those that are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::super::board::Board;
use super::super::file::Followed;
use super::super::metrics::BlockNumbers;
use super::super::progress::Digest;
use super::super::registry::{GONE_MAX, Registry};
use crate::base::clock::Clock;
use crate::base::disk::FaultyDisk;
use crate::base::disk::foreign::ForeignId;
use crate::source::tail::FileStatus;
use crate::state::State;
use crate::telemetry::Metrics;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A store without a disk, and a clock that tests move.
struct Shop {
    state: State,
    clock: Clock,
}

impl Shop {
    fn new() -> Self {
        let clock = Clock::starting_at(1_000_000);
        // There is no such folder, so the store stays in memory.
        let disk = FaultyDisk::new().shared();
        let state = State::open(disk, clock.clone(), Path::new("/none"), &Metrics::default());
        Self { state, clock }
    }

    /// The board of a block that starts when the queue ends at this place.
    fn start(&self, committed: u64, marks: &[&str]) -> Board {
        let registry = Registry::new(self.state.tail(), self.clock.clone(), committed);
        let marks: BTreeSet<String> = marks.iter().map(|mark| (*mark).to_owned()).collect();
        let gone = registry.gone("tail/t/", &marks);
        let numbers = BlockNumbers::register(&Metrics::default(), "t");
        Board::new(numbers, Some(registry), gone)
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.state.close();
    }
}

fn file(inode: u64, position: u64) -> Followed {
    let id = ForeignId { device: 1, inode };
    let home = PathBuf::from(format!("/logs/{inode}.log"));
    let mut file = Followed::new(id, format!("tail/t/{inode}"), &home, Instant::now());
    (file.progress.position, file.bytes) = (position, position);
    file
}

fn one(board: &Board) -> FileStatus {
    let all = board.read();
    assert_eq!(all.len(), 1, "{all:?}");
    all[0].clone()
}

#[tokio::test(start_paused = true)]
async fn what_was_delivered_is_known_exactly_with_the_registry_and_safely_without() {
    let shop = Shop::new();
    let board = shop.start(0, &[]);
    board.show(&file(7, 0));
    for (place, position) in [(10, 100), (20, 200)] {
        board.show_queued(&file(7, position), place);
    }
    let delivered = |status: &FileStatus| [9, 10, 19, 20, 30].map(|at| status.delivered(at));
    assert_eq!(delivered(&one(&board)), [0, 100, 100, 200, 200]);
    board.save();

    let again = shop.start(30, &["tail/t/7"]);
    again.show(&file(7, 200));
    assert_eq!(delivered(&one(&again)), [0, 100, 100, 200, 200]);

    // The mark knows more than the registry, or the registry was lost: the end of the queue counts.
    for key in ["", "t/7"] {
        shop.state.tail().remove(key);
        let again = shop.start(30, &["tail/t/7"]);
        again.show(&file(7, 250));
        assert_eq!([29, 30].map(|at| one(&again).delivered(at)), [0, 250]);
    }
}

#[tokio::test(start_paused = true)]
async fn other_content_of_the_same_length_is_not_delivered_because_the_one_before_was() {
    let shop = Shop::new();
    let board = shop.start(0, &[]);
    board.show_queued(&file(7, 0), 0);
    board.show(&file(7, 0));
    board.show_queued(&file(7, 100), 10);
    board.save();
    let delivered = |board: &Board| [9, 10, 29, 30].map(|at| one(board).delivered(at));
    assert_eq!(delivered(&board), [0, 100, 100, 100]);

    // Written anew and queued; weir was killed before the registry knew.
    let mut anew = file(7, 100);
    anew.progress.changed_unix_ns = 1;
    let again = shop.start(30, &["tail/t/7"]);
    again.show(&anew);
    assert_eq!(delivered(&again), [0, 0, 0, 100]);

    let mut anew = file(7, 100);
    anew.progress.marker = Digest::of(b"another");
    let again = shop.start(30, &["tail/t/7"]);
    again.show(&anew);
    assert_eq!(delivered(&again), [0, 0, 0, 100]);
}

#[tokio::test(start_paused = true)]
async fn a_file_is_done_with_its_last_byte_and_not_before() {
    let shop = Shop::new();
    let board = shop.start(0, &[]);
    let mut seven = file(7, 0);
    board.show(&seven);
    assert!(one(&board).is_delivered(0), "an empty file has nothing to deliver");
    (seven.progress.position, seven.bytes) = (100, 101);
    board.show_queued(&seven, 5);
    assert!(!one(&board).is_delivered(5), "an unfinished line is not queued");
    seven.bytes = 100;
    board.show(&seven);
    assert_eq!([4, 5].map(|at| one(&board).is_delivered(at)), [false, true]);

    // Begun anew: what was delivered was other content.
    (seven.progress.position, seven.bytes) = (0, 500);
    board.show(&seven);
    seven.progress.position = 500;
    board.show_queued(&seven, 9);
    assert_eq!([8, 9].map(|at| one(&board).delivered(at)), [0, 500]);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_gone_stays_in_sight_for_a_day_across_restarts() {
    let shop = Shop::new();
    let board = shop.start(0, &[]);
    board.show(&file(7, 0));
    board.show_queued(&file(7, 100), 10);
    board.save();
    board.strike(&file(7, 0).mark);
    assert_eq!(one(&board).gone_unix_ms, Some(1_000_000));

    let again = shop.start(10, &[]);
    let gone = one(&again);
    assert_eq!((gone.gone_unix_ms, gone.queued), (Some(1_000_000), 100));
    assert_eq!([9, 10].map(|at| gone.is_delivered(at)), [false, true]);

    tokio::time::advance(DAY).await;
    assert_eq!(again.read().len(), 1);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(again.read().len(), 0);
    assert_eq!(shop.state.tail().scan(""), []);
}

#[tokio::test(start_paused = true)]
async fn of_too_many_files_that_are_gone_the_latest_stay() {
    let shop = Shop::new();
    let board = shop.start(0, &[]);
    for inode in 0..=GONE_MAX as u64 {
        board.show(&file(inode, 1));
        board.strike(&file(inode, 1).mark);
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    let paths: BTreeMap<_, _> =
        board.read().into_iter().map(|status| (status.path, status.gone_unix_ms)).collect();
    assert_eq!(paths.len(), GONE_MAX);
    assert!(!paths.contains_key(Path::new("/logs/0.log")));
    assert_eq!(shop.state.tail().scan("t/").len(), GONE_MAX);
}

#[tokio::test(start_paused = true)]
async fn a_file_under_another_device_number_is_the_same_and_a_longest_path_is_kept_by_its_name() {
    let shop = Shop::new();
    let board = shop.start(0, &[]);
    let mut seven = file(7, 0);
    seven.path = Path::new(&format!("/{}", "x/".repeat(2040))).join("end.log");
    board.show(&seven);
    seven.progress.position = 50;
    board.show_queued(&seven, 3);
    seven.id.device = 2;
    board.show(&seven);
    assert_eq!(one(&board).delivered(3), 50);
    board.save();

    let again = shop.start(3, &[]);
    assert_eq!(one(&again).path, Path::new("end.log"));
}
