//! An aggregate from elsewhere whose records belong to several shards. It stays as it was read, and
//! only what of it has arrived is remembered, by hashes: however many records it has, they take no
//! memory of their own while it waits. Pure.

use bytes::Bytes;

use super::class::{Class, classify};
use crate::sink::{Entry, Fate, Fault, Form, HashRange, Member, Shard, Sink, members};

/// So many parts of one aggregate travel in a request at most: others want to travel too.
const PARTS_AT_ONCE: usize = 100;

/// So many parts that failed are told from those that were not tried, before all count as tried.
const FAILED_MAX: usize = 1_000;

/// The hashes of the records of an aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    least: u128,
    most: u128,
}

impl Span {
    /// `None` where it cannot be taken apart without losing something.
    pub(super) fn of(payload: &Bytes) -> Option<Self> {
        let members = members(payload)?;
        let hashes = || members.iter().map(Member::hash);
        Some(Self { least: hashes().min()?, most: hashes().max()? })
    }

    /// Whether all of them belong to one shard of these.
    pub(super) fn lies_in(self, range: HashRange) -> bool {
        range.holds(self.least) && range.holds(self.most)
    }
}

/// A hash of an aggregate that is to be sent, and the bytes of its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// All hashes behind that of the aggregate before it, up to its own: none of them is in it.
    pub(super) range: HashRange,
    pub(super) bytes: usize,
}

impl Due {
    /// The hash.
    pub(super) fn hash(&self) -> u128 {
        self.range.last
    }
}

/// What one entry is sent for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// All that is to be sent of the aggregate among these hashes.
    pub(super) range: HashRange,
    /// Where it should end up, if that is known.
    pub(super) shard: Option<Shard>,
    pub(super) bytes: usize,
}

/// What has become of an aggregate that is sent by shards. While these are not known only what has
/// the same hash shares an entry: whatever they are, it belongs to one. Each part is tried once
/// before those that failed are tried again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Apart {
    /// Hashes of which nothing is to be sent any more.
    arrived: Ranges,
    /// Hashes of which nothing is to be sent before all others were tried.
    failed: Ranges,
    /// A hash that is to be sent next; its lane is the aggregate's.
    next: u128,
    /// What goes, or went last.
    going: Vec<Share>,
    /// Of what went last, which hashes were throttled.
    throttled: Vec<u128>,
    /// Whether some of what went last has arrived.
    is_partly_through: bool,
    /// Whether something in it is refused: each part goes by itself, to find which.
    is_searched: bool,
}

/// Hashes in their order, no two ranges of which touch.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ranges(Vec<HashRange>);

impl Ranges {
    fn add(&mut self, ranges: impl IntoIterator<Item = HashRange>) {
        self.0.extend(ranges);
        self.0.sort_by_key(|range| range.first);
        self.0.dedup_by(|next, range| {
            let do_touch = range.last.checked_add(1).is_none_or(|end| next.first <= end);
            if do_touch {
                range.last = range.last.max(next.last);
            }
            do_touch
        });
    }

    fn holds(&self, hash: u128) -> bool {
        let behind = self.0.partition_point(|range| range.first <= hash);
        let before = behind.checked_sub(1).and_then(|place| self.0.get(place));
        before.is_some_and(|range| range.holds(hash))
    }
}

impl Apart {
    /// Nothing has arrived.
    pub(super) fn new(span: Span) -> Self {
        Self { next: span.least, ..Self::default() }
    }

    /// The number that chooses its lane now.
    pub(super) fn next(&self) -> u128 {
        self.next
    }

    /// From now on it is in the lane of this hash.
    pub(super) fn aim(&mut self, hash: u128) {
        self.next = hash;
    }

    /// What is to be sent before anything is sent again, in the order of hashes.
    pub(super) fn untried(&self, payload: &Bytes) -> Vec<Due> {
        let members = members(payload).unwrap_or_default();
        let mut left: Vec<_> = self.left_of(&members).map(|one| (one.hash(), size(one))).collect();
        left.sort_unstable();
        left.dedup_by(|next, before| {
            let is_same = next.0 == before.0;
            before.1 += if is_same { next.1 } else { 0 };
            is_same
        });
        let before = std::iter::once(0).chain(left.iter().map(|(hash, _)| hash.saturating_add(1)));
        let due = |(first, (last, bytes)): (u128, &(u128, usize))| Due {
            range: HashRange { first, last: *last },
            bytes: *bytes,
        };
        let due = before.zip(&left).map(due);
        due.filter(|due| !self.failed.holds(due.hash())).collect()
    }

    /// What failed may be sent again.
    pub(super) fn try_again(&mut self) {
        self.failed = Ranges::default();
    }

    /// Whether something of it has arrived.
    pub(super) fn has_arrived(&self) -> bool {
        !self.arrived.0.is_empty()
    }

    /// Whether something of what went last has arrived.
    pub(super) fn is_partly_through(&self) -> bool {
        self.is_partly_through
    }

    /// A hash of each part that went last, and whether it was throttled.
    pub(super) fn throttled(&self) -> impl Iterator<Item = (u128, bool)> {
        let hashes = self.going.iter().map(|share| share.range.last);
        hashes.map(|hash| (hash, self.throttled.contains(&hash)))
    }

    /// How many parts may go at once, of so many entries.
    pub(super) fn parts_at_once(&self, entries: usize) -> usize {
        if self.is_searched { 1 } else { entries.clamp(1, PARTS_AT_ONCE) }
    }

    /// What went was refused for something in it. Whether that may be in some of it only: each part
    /// goes by itself then, and the one that is refused alone waits for the others.
    pub(super) fn refused(&mut self, payload: &Bytes) -> bool {
        self.is_searched = true;
        if self.going.len() > 1 {
            self.try_again();
            return true;
        }
        self.failed.add(self.going.iter().map(|share| share.range));
        !self.untried(payload).is_empty()
    }

    /// These parts go now.
    pub(super) fn go(&mut self, mut shares: Vec<Share>) {
        shares.sort_by_key(|share| share.range.first);
        self.going = shares;
    }

    /// How many entries go, and how many bytes they are; none before any went.
    pub(super) fn load(&self) -> Option<(usize, usize)> {
        let bytes = self.going.iter().map(|share| share.bytes).sum();
        (!self.going.is_empty()).then_some((self.going.len(), bytes))
    }

    /// Adds what is sent of it now.
    pub(super) fn put_entries<S: Sink>(&self, sink: &S, payload: &Bytes, entries: &mut Vec<Entry>) {
        let members = members(payload).unwrap_or_default();
        let mut parts = vec![Vec::new(); self.going.len()];
        // Whatever is left of a share, also what failed as a part of others: all of it is noted then.
        for one in self.left_of(&members) {
            let place = self.going.partition_point(|share| share.range.last < one.hash());
            if self.going.get(place).is_some_and(|share| share.range.holds(one.hash()))
                && let Some(part) = parts.get_mut(place)
            {
                part.push(one);
            }
        }
        let with_shard = |(part, share): (&Vec<&Member>, &Share)| Entry {
            shard: share.shard.clone(),
            ..entry(sink, part)
        };
        entries.extend(parts.iter().zip(&self.going).map(with_shard));
    }

    /// What went was answered, part by part: what that is for all of it.
    pub(super) fn answered(&mut self, payload: &Bytes, fates: Vec<Fate>) -> Fate {
        let (mut worst, mut has_strayed) = (None, false);
        (self.throttled, self.is_partly_through) = (Vec::new(), false);
        for (share, fate) in self.going.iter().zip(fates) {
            match fate {
                Fate::Taken => {
                    self.is_partly_through = true;
                    self.arrived.add([share.range]);
                }
                Fate::Strayed(range) => {
                    (self.is_partly_through, has_strayed) = (true, true);
                    self.arrived.add(range.and_then(|range| share.range.shared_with(range)));
                }
                Fate::Failed(fault) => {
                    if classify(&fault) == Class::Throttled {
                        self.throttled.push(share.range.last);
                    }
                    self.failed.add([share.range]);
                    worst = worse(worst, fault);
                }
            }
        }
        if self.is_all_there(payload) {
            return Fate::Taken;
        }
        if self.failed.0.len() > FAILED_MAX {
            self.try_again();
        }
        match worst {
            Some((_, fault)) => Fate::Failed(fault),
            None if has_strayed => Fate::Strayed(None),
            None => Fate::Taken,
        }
    }

    /// The upstream has what has these hashes.
    pub(super) fn arrived(&mut self, range: HashRange) {
        self.arrived.add([range]);
    }

    /// Whether nothing is left to be sent.
    pub(super) fn is_all_there(&self, payload: &Bytes) -> bool {
        self.left_of(&members(payload).unwrap_or_default()).next().is_none()
    }

    /// What is left as aggregates of their own, one for each place of its hashes.
    pub(super) fn leftovers(
        &self,
        payload: &Bytes,
        place_of: impl Fn(u128) -> usize,
    ) -> Vec<Entry> {
        let members = members(payload).unwrap_or_default();
        let mut parts = std::collections::BTreeMap::<usize, Vec<&Member>>::new();
        for one in self.left_of(&members) {
            parts.entry(place_of(one.hash())).or_default().push(one);
        }
        parts.into_values().map(|part| together(&part)).collect()
    }

    fn left_of<'a>(&'a self, members: &'a [Member]) -> impl Iterator<Item = &'a Member> {
        members.iter().filter(|one| !self.arrived.holds(one.hash()))
    }
}

/// Of two faults the one to go by. What is wrong with a record itself is known only when nothing else
/// is wrong.
fn worse(known: Option<(Class, Fault)>, fault: Fault) -> Option<(Class, Fault)> {
    let class = classify(&fault);
    let rank = |class: Class| (class != Class::Poison, class);
    match known {
        Some(known) if rank(known.0) >= rank(class) => Some(known),
        _ => Some((class, fault)),
    }
}

/// What it brings into an entry, roughly.
fn size(member: &Member) -> usize {
    member.key().len() + member.data().len()
}

/// Some records of an aggregate as one entry.
fn entry<S: Sink>(sink: &S, members: &[&Member]) -> Entry {
    if let [one] = members {
        let entry = sink.entry(one.key().to_owned(), one.data().clone());
        return Entry { hash_key: one.explicit(), ..entry };
    }
    together(members)
}

fn together(members: &[&Member]) -> Entry {
    let pieces: Vec<_> = members.iter().map(|one| one.piece()).collect();
    let weight = members.iter().map(|one| size(one) + 32).sum();
    // How large it may be was decided when it was made.
    Form::Aggregate { weight_max: 0 }.pack_one(pieces, weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::parcel::own;
    use crate::delivery::tests::ScriptSink;
    use crate::record::RoutingKey;
    use crate::sink::Piece;

    fn range(first: u128, last: u128) -> HashRange {
        HashRange { first, last }
    }

    /// An aggregate of records with these hashes, one byte each, and what is left of it.
    fn apart(hashes: &[u128]) -> (Bytes, Apart) {
        let data = Bytes::from_static(b"x");
        let piece = |hash: &u128| Piece {
            key: RoutingKey::Own("key"),
            key_hash: 0,
            explicit: Some(*hash),
            data: &data,
        };
        let pieces: Vec<_> = hashes.iter().map(piece).collect();
        let payload = Form::Aggregate { weight_max: 0 }.pack_one(pieces, 0).data;
        let apart = Apart::new(Span::of(&payload).unwrap());
        (payload, apart)
    }

    fn failed(code: &str) -> Fate {
        Fate::Failed(own(code, String::new()))
    }

    fn send(apart: &mut Apart, payload: &Bytes, ranges: &[HashRange], fates: Vec<Fate>) -> Fate {
        let share = |range: &HashRange| Share { range: *range, shard: None, bytes: 1 };
        apart.go(ranges.iter().map(share).collect());
        apart.answered(payload, fates)
    }

    fn untried(apart: &Apart, payload: &Bytes) -> Vec<u128> {
        apart.untried(payload).iter().map(Due::hash).collect()
    }

    #[test]
    fn what_has_arrived_of_many_shards_takes_no_more_memory_than_there_are_gaps_in_it() {
        let hashes: Vec<u128> = (0..3_000).rev().collect();
        let (payload, mut apart) = apart(&hashes);
        let shards = (0..100_u128).map(|shard| range(shard * 30, shard * 30 + 29));
        let (even, odd): (Vec<_>, Vec<_>) = shards.partition(|shard| shard.first / 30 % 2 == 0);

        even.into_iter().for_each(|shard| apart.arrived(shard));
        assert_eq!((apart.arrived.0.len(), untried(&apart, &payload)[0]), (50, 30));
        let is_end = |shard| {
            apart.arrived(shard);
            apart.is_all_there(&payload)
        };
        let ends: Vec<_> = odd.into_iter().map(is_end).collect();

        assert_eq!(ends.iter().position(|is_all| *is_all), Some(49));
        assert_eq!(apart.arrived.0, [range(0, 2_999)]);
    }

    #[test]
    fn what_arrived_twice_or_up_to_the_last_hash_is_one_range() {
        let (payload, mut apart) = apart(&[7, u128::MAX, 0]);
        apart.arrived(range(5, u128::MAX));
        apart.arrived(range(6, 9));
        assert_eq!(
            (&*apart.arrived.0, untried(&apart, &payload)),
            (&[range(5, u128::MAX)][..], vec![0])
        );
        assert!(!apart.is_all_there(&payload));
        apart.arrived(range(0, 0));
        assert!(apart.is_all_there(&payload));
    }

    #[test]
    fn each_part_is_tried_before_one_that_failed_is_tried_again() {
        let (payload, mut apart) = apart(&[10, 20, 30, 11]);
        let low = range(0, 15);
        let fate =
            send(&mut apart, &payload, &[low, range(16, 25)], vec![failed("a"), Fate::Taken]);

        assert_eq!(fate, failed("a"));
        assert_eq!(untried(&apart, &payload), [30]);
        assert!(apart.is_partly_through() && apart.has_arrived());
        assert_eq!(send(&mut apart, &payload, &[range(26, 40)], vec![Fate::Taken]), Fate::Taken);
        assert!(untried(&apart, &payload).is_empty() && !apart.is_all_there(&payload));

        apart.try_again();
        assert_eq!(untried(&apart, &payload), [10, 11]);
        let left = apart.leftovers(&payload, |_| 0);
        assert_eq!(left.len(), 1);
        let hashes: Vec<_> = members(&left[0].data).unwrap().iter().map(Member::hash).collect();
        assert_eq!(hashes, [10, 11]);
        assert_eq!(send(&mut apart, &payload, &[low], vec![Fate::Taken]), Fate::Taken);
        assert!(apart.is_all_there(&payload));
    }

    #[test]
    fn what_failed_before_a_reshard_goes_with_what_shares_its_shard_since() {
        let (payload, mut apart) = apart(&[10, 20]);
        send(&mut apart, &payload, &[range(0, 15)], vec![failed("a")]);
        assert_eq!(untried(&apart, &payload), [20]);

        apart.go(vec![Share { range: range(0, 30), shard: None, bytes: 1 }]);
        let mut entries = Vec::new();
        apart.put_entries(&*ScriptSink::taking_all(), &payload, &mut entries);

        let hashes: Vec<_> = members(&entries[0].data).unwrap().iter().map(Member::hash).collect();
        assert_eq!((entries.len(), hashes), (1, vec![10, 20]));
    }

    #[test]
    fn a_record_is_at_fault_only_where_nothing_else_is() {
        let parts = [range(0, 0), range(1, 1), range(2, 2)];
        for (codes, told) in [
            (["ValidationException", "InternalFailure", "ValidationException"], "InternalFailure"),
            (["ValidationException"; 3], "ValidationException"),
        ] {
            let (payload, mut apart) = apart(&[0, 1, 2]);
            let fate = send(&mut apart, &payload, &parts, codes.map(failed).into());
            assert!(matches!(fate, Fate::Failed(fault) if fault.code == told));
            assert!(!apart.is_partly_through());
        }
    }

    #[test]
    fn what_ended_up_elsewhere_is_there_as_far_as_it_belongs_there() {
        let (payload, mut apart) = apart(&[1, 2, 3]);
        let elsewhere = vec![Fate::Strayed(Some(range(0, 2)))];
        assert_eq!(send(&mut apart, &payload, &[range(0, 9)], elsewhere), Fate::Strayed(None));
        assert_eq!(untried(&apart, &payload), [3]);
        let unknown = vec![Fate::Strayed(None)];
        assert_eq!(send(&mut apart, &payload, &[range(0, 9)], unknown), Fate::Strayed(None));
        assert_eq!(untried(&apart, &payload), [3]);
    }

    #[test]
    fn the_hashes_that_are_left_cover_those_that_are_not_there() {
        let hashes: Vec<u128> = (0..1_000).map(|number| u128::MAX - number * 7_919).collect();
        let (payload, mut apart) = apart(&hashes);
        apart.arrived(range(u128::MAX - 10, u128::MAX));
        let mut parts = 0;
        while !apart.is_all_there(&payload) {
            apart.try_again();
            let due: Vec<_> = apart.untried(&payload).into_iter().take(PARTS_AT_ONCE).collect();
            parts += due.len();
            // Every tenth fails.
            let taken = due.into_iter().enumerate().filter(|(place, _)| place % 10 != 9);
            taken.for_each(|(_, due)| apart.arrived(due.range));
            assert!(apart.arrived.0.len() <= PARTS_AT_ONCE / 10 + 2, "{}", apart.arrived.0.len());
        }
        assert!((999..1_200).contains(&parts), "{parts}");
    }
}
