//! What becomes of a stream that a worker had: counted, held, or given up.

use super::*;

impl Run<'_> {
    pub(super) async fn settle(&mut self, begun: Begun, restored: Restored) -> Result<(), Halt> {
        let state = &self.ports.state;
        if matches!(restored, Restored::Uploaded { .. } | Restored::There) {
            self.ports.seen.borrow_mut().goes_through(Witness {
                key: begun.object.key.clone(),
                stream: begun.stream.clone(),
                size: begun.object.size,
            });
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
            Restored::Gone => figures.gone = 1,
            Restored::Absent => {
                let expected = told::expected(&begun.object.key);
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
        if figures.there > 0 && !self.keeps_marks() {
            // What was there before this pass has been counted.
            self.pass_over(begun.lane, begun.ticket, StreamFigures::default());
        } else if self.keeps_marks() && !begun.is_expected {
            self.count(figures);
            self.pass_over(begun.lane, begun.ticket, figures);
        } else if figures.gone > 0 {
            // It may come again, and is to be restored then: no row may tell of it.
            self.count(figures);
            self.pass_over(begun.lane, begun.ticket, StreamFigures::default());
        } else {
            let told = told::told(&begun.object.key, figures);
            self.happening.push(Box::pin(async move {
                let recorded = state.record(told).await;
                fault_point::pass(FaultPoint::RestoreStreamTold);
                Happened::Told(begun, figures, recorded)
            }));
        }
        Ok(())
    }

    /// Makes it a dead letter.
    pub(super) async fn give_up(&mut self, begun: Begun, fault: &Fault) -> Result<(), Halt> {
        let ListedObject { key, size, .. } = &begun.object;
        self.bury(key, *size, fault, fault.attempts()).await?;
        self.pass_over(begun.lane, begun.ticket, StreamFigures::default());
        Ok(())
    }

    /// An object is done: the mark may pass it, with these figures.
    pub(super) fn pass_over(&mut self, lane: usize, ticket: Ticket, figures: StreamFigures) {
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.water.done(ticket, figures);
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
