//! The least queue and one of a tebibyte: nothing but the room depends on the size.

use super::rig::{ALL, FOLDER, Rig, settings, small};
use crate::base::disk::{Call, FaultyDisk};
use crate::queue::log::{Log, Segment};
use crate::queue::settings::Limits;
use crate::queue::{Settings, segment};

const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

fn limits(max_bytes: u64) -> Limits {
    Limits::of(&Settings { max_bytes, ..settings() })
}

#[test]
fn the_least_queue_has_four_segments_and_one_of_a_tebibyte_no_larger_ones_than_a_gibibyte() {
    for (asked, bytes, segment_bytes) in [
        (0, 4 * MIB, MIB),
        (4 * MIB - 1, 4 * MIB, MIB),
        (4 * MIB, 4 * MIB, MIB),
        (4 * MIB + 1, 4 * MIB + 1, MIB),
        (1 << 30, 1 << 30, 64 * MIB),
        (TIB, TIB, 64 * MIB),
    ] {
        let limits = limits(asked);
        assert_eq!((limits.max_bytes, limits.segment_bytes), (bytes, segment_bytes));
        assert!(limits.group_bytes as u64 + segment_bytes < bytes);
    }
    let (gib, tib) = (limits(1 << 30), limits(TIB));
    assert_eq!((gib.ring_bytes, gib.read_bytes), (tib.ring_bytes, tib.read_bytes));
    assert_eq!((gib.mark_bytes, gib.key_bytes), (tib.mark_bytes, tib.key_bytes));
}

#[test]
fn a_tebibyte_of_segments_is_counted_found_and_let_go() {
    const COUNT: u64 = 16 << 10;
    const EACH: u64 = 60_000;
    let of = |at: u64| Segment::of(1 + at * EACH, None, 64 * MIB);
    let mut log = Log::new((0..COUNT).map(of), COUNT * EACH);

    assert_eq!(log.segment_bytes(), TIB);
    for at in [0, 1, COUNT / 2, COUNT - 1] {
        for position in [1 + at * EACH, (at + 1) * EACH] {
            let span = log.span(position).unwrap();
            assert_eq!((span.segment.first, span.until), (1 + at * EACH, 1 + (at + 1) * EACH));
        }
    }
    assert_eq!(log.span(COUNT * EACH + 1), None);
    let (first, offset, _) = log.guess(COUNT * EACH).unwrap();
    assert_eq!(first, of(COUNT - 1).first);
    assert!(log.bytes_from(first, offset) < 64 * MIB);
    assert_eq!(log.bytes_from(1, 0), TIB - (COUNT - 1) * segment::HEADER_BYTES);
    let mut gone = 0;
    while let Some(oldest) = log.removable(COUNT * EACH) {
        log.forget(&oldest);
        gone += 1;
    }
    assert_eq!((gone, log.segment_bytes()), (COUNT - 1, 64 * MIB), "the newest stays");
}

#[test]
fn opening_costs_the_same_few_calls_for_each_segment_however_much_it_holds() {
    let calls = |payload_bytes: usize| {
        let wide = Limits { max_bytes: TIB, ..small() };
        let mut rig = Rig::with(FaultyDisk::new(), wide, &["a"]).unwrap();
        while rig.segments().len() < 300 {
            rig.put(&vec![7; payload_bytes]).unwrap();
        }
        let before = rig.disk.count_all();
        let mut rig = rig.reopened();
        let opening = rig.disk.count_all() - before;
        assert!(rig.disk.count(Call::List) > 0, "{FOLDER}");
        assert_eq!(rig.take(0, ALL).len() as u64, rig.store.log().end());
        opening
    };

    let (few, many) = (calls(11_000), calls(900));

    assert!(few < 300 * 4 + 60, "{few} calls for 300 segments");
    assert!(many.abs_diff(few) < 20, "{many} calls with twelve times the frames, {few} before");
}

#[test]
fn what_is_owed_is_counted_to_the_byte_behind_what_was_given_and_settled() {
    let used = |rig: &Rig| rig.store.log().span(1).unwrap().segment.used;
    let mut rig = Rig::new(&["a"]);
    rig.put(&[1; 9000]).unwrap();
    rig.take(0, ALL);
    rig.settle(0, [1]);
    let before = used(&rig);

    rig.put(b"two").unwrap();

    assert_eq!(rig.ledger(0).waiting_bytes, used(&rig) - before);
}
