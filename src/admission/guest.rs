//! Callers who say what they want in the body: they are known before it is read, and led to their
//! stream, by as much of their plan as there is, behind it.

use std::net::IpAddr;

use super::callers::Caller;
use super::{Admission, Admitted, Knock, Pass, Refusal, Rejection, validate};
use crate::base::units::CountRate;
use crate::record::RawRecord;

/// A known caller who has not said yet for which stream it comes.
#[derive(Debug)]
pub struct Guest(Caller);

impl Admission {
    /// Recognises the caller, after its address was charged with a request; the stream of the knock
    /// does not matter.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn greet(&self, knock: &Knock<'_>) -> Result<Guest, Refusal> {
        let caller = self.meet(knock).await;
        let refused = |refusal: &Refusal| self.numbers.refused(knock.source, refusal);
        caller.map(Guest).inspect_err(refused)
    }

    /// Judges what covers the body (a signature), if this caller has to show it: the body as it
    /// came in, before anything else is done with it.
    ///
    /// # Errors
    /// [`Refusal`]; the guest is nobody then.
    pub fn prove_guest(
        &self,
        mut guest: Guest,
        knock: &Knock<'_>,
        body: &[u8],
    ) -> Result<Guest, Refusal> {
        if let Some(proof) = guest.0.proof.take() {
            proof.judge(body).inspect_err(|refusal| {
                self.numbers.refused(knock.source, refusal);
                self.guessed(knock.source, knock.guesser());
            })?;
        }
        Ok(guest)
    }

    /// What does not hold (a signature) is as good a guess as a wrong key.
    pub(super) fn guessed(&self, source: &str, guesser: Option<(IpAddr, CountRate)>) {
        if let Some((address, rate)) = guesser {
            self.guesses.wrong(source, address, rate);
        }
    }

    /// The largest record of those streams that look into theirs, which takes time and memory.
    pub fn looked_into_bytes(&self) -> Option<u64> {
        self.house().looked_into_bytes
    }

    /// Whether that took some stream so long before that it must not be done on an async thread.
    pub fn is_slow(&self) -> bool {
        self.house().streams.values().any(|stream| stream.treatment.is_slow())
    }

    /// A pass for the stream of the knock.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn lead(&self, knock: &Knock<'_>, guest: Guest) -> Result<Pass, Refusal> {
        let refused = |refusal: &Refusal| self.numbers.refused(knock.source, refusal);
        self.let_in(knock, guest.0).inspect_err(refused)
    }

    /// The names and aliases of the streams that a guest may use, in order. Charges a request to all
    /// that hold the guest, as those for one stream do.
    ///
    /// # Errors
    /// [`Refusal::TooFast`], [`Refusal::OverBurst`].
    pub fn streams_of(&self, knock: &Knock<'_>, guest: &Guest) -> Result<Vec<String>, Refusal> {
        // A body that nobody judged is nobody's.
        if guest.0.proof.is_some() {
            return Err(Refusal::UnknownCaller);
        }
        let refused = |refusal: &Refusal| self.numbers.refused(knock.source, refusal);
        let house = self.house();
        let meters = house.meters(knock, &guest.0, None);
        meters.iter().try_for_each(|meter| meter.take_request()).inspect_err(refused)?;
        let allowed = guest.0.streams.as_ref();
        let streams = house
            .streams
            .iter()
            .filter(|(_, stream)| allowed.is_none_or(|allowed| allowed.contains(&stream.name)));
        Ok(streams.map(|(name, _)| name.clone()).collect())
    }

    /// What is wrong with records that are not to be stored. No plan is charged for them.
    pub fn look_over(&self, pass: &Pass, raw: Vec<RawRecord>) -> Vec<Rejection> {
        validate::admit(pass, &self.house().streams, &raw, self.clock.unix_ms()).1
    }

    /// Like [`Admission::admit`], for as many of the first records as the caller's plan lets
    /// through now, each charged with its bytes; gives how many behind them were held back.
    ///
    /// # Errors
    /// [`Refusal::TooFast`], [`Refusal::OverBurst`], if that is not even the first.
    pub fn admit_first(
        &self,
        pass: &Pass,
        mut raw: Vec<RawRecord>,
    ) -> Result<(Admitted, Vec<Rejection>, usize), Refusal> {
        // A body that nobody judged is nobody's.
        if pass.proof.is_some() {
            return Err(Refusal::UnknownCaller);
        }
        let count = self.charge_each(pass, &raw)?;
        let held_back = raw.len() - count;
        raw.truncate(count);
        let (mut admitted, rejections) =
            validate::admit(pass, &self.house().streams, &raw, self.clock.unix_ms());
        let refused = |refusal: &Refusal| self.numbers.refused(&pass.source, refusal);
        admitted.book(pass).inspect_err(refused)?;
        self.numbers.rejected(&pass.stream.name, &pass.source, rejections.len());
        Ok((admitted, rejections, held_back))
    }

    /// One that is held back holds back all behind it: none may overtake another of its key.
    fn charge_each(&self, pass: &Pass, raw: &[RawRecord]) -> Result<usize, Refusal> {
        if pass.meters.is_empty() && pass.address.is_none() {
            return Ok(raw.len());
        }
        for (index, record) in raw.iter().enumerate() {
            let bytes = record.payload.len() as u64;
            let charged = pass.take(|meter| meter.take_records(1));
            let charged = charged.and_then(|()| pass.take(|meter| meter.take_bytes(bytes)));
            if let Err(refusal) = charged {
                self.numbers.refused(&pass.source, &refusal);
                return if index == 0 { Err(refusal) } else { Ok(index) };
            }
        }
        Ok(raw.len())
    }
}
