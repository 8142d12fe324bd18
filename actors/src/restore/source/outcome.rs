//! What becomes of a stream that a worker had: counted, held, or given up.

use super::*;

const RESTORE: &str = "restore stream";

impl Run<'_> {
    pub(super) async fn settle(&mut self, begun: Begun, restored: Restored) -> Result<(), Halt> {
        let state = &self.ports.state;
        if matches!(restored, Restored::Uploaded { .. } | Restored::There) {
            self.ports.seen.borrow_mut().goes_through(Witness {
                key: begun.object.key.clone(),
                stream: begun.stream.clone(),
                size: begun.object.size,
            });
            for form in begun.object.listed() {
                put_back::settle(&**state, Store::Streams, &form.key, |_| true).await?;
            }
        }
        let mut figures = StreamFigures {
            bytes: begun.object.size,
            ..StreamFigures::default()
        };
        match restored {
            Restored::Uploaded { .. } => {
                self.in_row = 0;
                self.successes += 1;
                figures.restored = 1;
            }
            // Nobody was left to count it.
            Restored::There if begun.is_expected => figures.restored = 1,
            Restored::There => figures.there = 1,
            Restored::Gone => {
                self.list_again(begun);
                return Ok(());
            }
            Restored::Absent => {
                let expected = told::expected(&begun.row);
                self.happening.push(Box::pin(async move {
                    let recorded = state.record(expected).await;
                    Happened::Expected(begun, recorded)
                }));
                return Ok(());
            }
            Restored::Dead(fault) => return self.give_up(begun, &fault).await,
            Restored::Failed(fault) => return self.hold(begun, fault).await,
            Restored::Stopped => return Err(Halt::Stopped),
        }
        let is_sent_unasked = matches!(self.pass, Pass::Last { asks: false, .. }) && !begun.is_expected;
        if !self.keeps_marks() && (figures.there > 0 || is_sent_unasked) {
            // What was there before this pass has been counted; of what is sent unasked most has.
            self.pass_over(begun.lane, begun.ticket, StreamFigures::default());
        } else if self.keeps_marks() && !begun.is_expected {
            self.count(figures);
            self.pass_over(begun.lane, begun.ticket, figures);
        } else {
            let telling = self.all_told(&begun, figures)?;
            self.happening.push(Box::pin(async move {
                let mut recorded = Ok(());
                for change in telling {
                    if recorded.is_ok() {
                        recorded = state.record(change).await;
                    }
                }
                fault_point::pass(FaultPoint::RestoreStreamTold);
                Happened::Told(begun, figures, recorded)
            }));
        }
        Ok(())
    }

    /// The bucket says that it is not there: whether that is so is shown by a listing.
    fn list_again(&mut self, begun: Begun) {
        let SourcePorts {
            archive, retry, stop, ..
        } = self.ports;
        self.happening.push(Box::pin(async move {
            let key = &begun.object.key;
            let list = || archive.list(Store::Streams, key, None);
            let page = retry.run("list bucket", key, stop, list).await;
            Happened::LookedFor(begun, page)
        }));
    }

    /// One that has aged off is in no listing any more; one that is listed all the same is read once more.
    pub(super) async fn is_gone(&mut self, mut begun: Begun, page: &ListPage) -> Result<(), Halt> {
        let key = &begun.object.key;
        if listed_key::lists(page, key) {
            let lost = listed_key::lost(RESTORE, key);
            if begun.is_missed {
                return self.give_up(begun, &lost).await;
            }
            log::warn!(error:% = lost; "{lost}; reading it once more");
            begun.is_missed = true;
            self.send(begun);
            return Ok(());
        }
        let gone = Fault::missing(RESTORE, key, "it is not in the bucket any more");
        if begun.object.has_another() {
            self.fall_back(begun, &gone);
            return Ok(());
        }
        if begun.object.blame(&gone).kind() != FaultKind::Missing {
            return self.give_up(begun, &gone).await;
        }
        log::warn!(key:% = key; "{key} is not in the bucket any more: it has aged off since it was listed");
        let gone = StreamFigures {
            gone: 1,
            bytes: begun.object.size,
            ..StreamFigures::default()
        };
        self.count(gone);
        // It may come again, and is to be restored then: no row may tell of it.
        let figures = match self.keeps_marks() && !begun.is_expected {
            true => gone,
            false => StreamFigures::default(),
        };
        let is_gone = true;
        self.pass_with(begun.lane, begun.ticket, Fate { figures, is_gone });
        Ok(())
    }

    /// Sends its other form. At an end nothing more is begun: then the next start repeats it.
    fn fall_back(&mut self, mut begun: Begun, fault: &Fault) {
        if !self.is_winding_down && begun.object.fall_back(fault) {
            begun.failed_at = None;
            begun.is_missed = false;
            self.send(begun);
        }
    }

    /// Makes it a dead letter, unless there is another form of it.
    pub(super) async fn give_up(&mut self, begun: Begun, fault: &Fault) -> Result<(), Halt> {
        if begun.object.has_another() {
            self.fall_back(begun, fault);
            return Ok(());
        }
        let fault = begun.object.blame(fault);
        let figures = told::buried(begun.object.size);
        let telling = self.all_told(&begun, figures)?;
        let key = begun.object.preferred_key();
        self.bury_telling(key, &fault, fault.attempts(), telling, figures)
            .await?;
        self.pass_over(begun.lane, begun.ticket, StreamFigures::default());
        Ok(())
    }

    /// An object is done: the mark may pass it, with these figures.
    pub(super) fn pass_over(&mut self, lane: usize, ticket: Ticket, figures: StreamFigures) {
        let is_gone = figures.gone > 0;
        self.pass_with(lane, ticket, Fate { figures, is_gone });
    }

    fn pass_with(&mut self, lane: usize, ticket: Ticket, fate: Fate) {
        self.ports.standing.looked_at_one();
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.water.done(ticket, fate);
            lane.pass();
        }
    }

    pub(super) async fn hold(&mut self, mut begun: Begun, fault: Fault) -> Result<(), Halt> {
        self.in_row += 1;
        if self.in_row >= self.ports.failures_in_row.max(1) {
            if !self.others_go_through().await {
                log::error!(
                    "{} streams failed in a row, with no success in between",
                    self.in_row
                );
                return Err(Halt::Outage(fault));
            }
            self.in_row = 0;
        }
        match begun.failed_at {
            None => {
                log::warn!(error:% = fault; "{fault}; it is tried once more when the others are done");
                begun.failed_at = Some(self.successes);
                self.held.push(Held { begun, fault });
                Ok(())
            }
            Some(successes) if successes < self.successes || self.others_go_through().await => {
                self.give_up(begun, &fault).await
            }
            // Nothing shows that it is this one's fault.
            Some(_) => Err(Halt::Outage(fault)),
        }
    }
}
