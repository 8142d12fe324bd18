//! Which lanes there are, what they list, and how far they have come.

use super::*;

impl<'a> Run<'a> {
    /// The labels of the source; what lies in none of them is a dead letter where `strays_count`.
    pub(super) async fn find_labels(&mut self, strays_count: bool) -> Result<(), Halt> {
        let prefix = format!("{}/", self.source);
        let mut after: Option<String> = None;
        loop {
            let folders = || {
                self.ports
                    .archive
                    .folders(Store::Streams, &prefix, after.as_deref())
            };
            let page = self.retried("list bucket", &prefix, folders).await?;
            let FolderPage {
                folders,
                objects,
                next,
            } = page;
            self.labels.extend(folders);
            for object in objects {
                if strays_count && !self.ports.standing.passes_over(&object) {
                    self.bury_stray(&object).await?;
                }
            }
            match next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Lists a page.
    pub(super) async fn retried<T, F: Future<Output = Result<T, Fault>>>(
        &self,
        operation: &'static str,
        target: &str,
        attempt: impl FnMut() -> F,
    ) -> Result<T, Fault> {
        let SourcePorts {
            retry,
            stop,
            standing,
            ..
        } = self.ports;
        let page = retry.run(operation, &target, stop, attempt).await;
        page.inspect(|_| standing.looked_at_one())
    }

    /// Opens one more lane, if there is one.
    pub(super) async fn open_lane(&mut self) -> Result<bool, Halt> {
        if self.ranges.is_empty()
            && let Some(label) = self.labels.pop_front()
        {
            let prefix = format!("{}/{label}/", self.source);
            let first = || self.ports.archive.list(Store::Streams, &prefix, None);
            let page = self.retried("list bucket", &prefix, first).await?;
            if self.was_cut(&prefix)? {
                let ranges = LaneRange::cut(&prefix).into_iter();
                self.ranges.extend(ranges.map(|range| (range, None).into()));
            } else if LaneRange::is_to_be_cut(&prefix, &page) && self.may_cut(&prefix)? {
                // All of the page belongs to the first lane.
                let pages = std::iter::once(Some(page)).chain(std::iter::repeat_with(|| None));
                let ranges = LaneRange::cut(&prefix).into_iter().zip(pages);
                self.ranges.extend(ranges.map(Opening::from));
            } else {
                self.ranges
                    .push_back((LaneRange::whole(&prefix), Some(page)).into());
            }
        }
        let Some(opening) = self.ranges.pop_front() else {
            return Ok(false);
        };
        let mark = self.mark_of(&opening.range)?;
        let (expected, looking) = self.looking(&opening)?;
        let mut lane = Lane::new(opening.range, mark, self.ports.prefer, looking);
        lane.expected = expected;
        if let Some(page) = opening.page {
            lane.take(page, None);
        }
        if let Some(witness) = Witness::at(&lane.mark) {
            self.ports.seen.borrow_mut().goes_through(witness);
        }
        let number = self.next_lane;
        self.lanes.insert(number, lane);
        self.next_lane += 1;
        self.compare(number);
        Ok(true)
    }

    /// What is looked for in a lane; in the last pass with the keys of before the restore that are expected in it. Where
    /// the marks do not tell these, all of it is looked at.
    fn looking(&self, opening: &Opening) -> Result<(Option<KeyCensus>, Looking), Halt> {
        let range = &opening.range;
        let state = &self.ports.state;
        let is_last = !self.keeps_marks() && !opening.anew;
        let whole = match range.is_whole() {
            true => None,
            false => state.lane(&range.prefix)?,
        };
        let is_told = whole.is_none_or(|whole| whole.key.is_empty());
        let expected = match is_last && is_told {
            true => Some(state.lane(&range.name)?.unwrap_or_default().passed),
            false => None,
        };
        let looking = Looking {
            since: self.pass.since(),
            at: match (opening.anew, &expected) {
                (true, _) => LooksAt::Old,
                (false, Some(_)) => LooksAt::New,
                (false, None) => LooksAt::All,
            },
        };
        Ok((expected, looking))
    }

    /// A lane in which other keys are found than those that the first pass has gone through is gone through anew.
    pub(super) fn compare(&mut self, number: usize) {
        let Some(lane) = self.lanes.get_mut(&number) else {
            return;
        };
        let (Some(found), Some(expected)) = (lane.found(), lane.expected) else {
            return;
        };
        lane.expected = None;
        if found != expected {
            log::info!(
                "{}: {} keys of before the restore are listed, {} others were gone through: the dispatcher is asked for \
                 each of its streams",
                lane.range.name,
                found.count,
                expected.count
            );
            self.ranges.push_back(Opening {
                range: lane.range.clone(),
                page: None,
                anew: true,
            });
        }
    }

    /// A label of which a mark tells as a whole is compared as a whole.
    fn may_cut(&self, prefix: &str) -> Result<bool, Halt> {
        Ok(self.keeps_marks() || self.ports.state.lane(prefix)?.is_none())
    }

    /// Small labels are short lanes: then it takes as many of them as there are jobs.
    pub(super) fn wants_lanes(&self) -> bool {
        let waiting = || self.lanes.values().map(|lane| lane.queue.len()).sum::<usize>();
        let most_out = self.ports.most_out;
        self.lanes.len() < LANES || (self.lanes.len() < most_out && waiting() + self.out < most_out)
    }

    pub(super) fn list_ahead(&mut self) {
        let mut wanted = Vec::new();
        for (number, lane) in &mut self.lanes {
            if let Some(after) = lane.next_page(FEW) {
                lane.is_listing = true;
                wanted.push((*number, lane.range.clone(), after));
            }
        }
        for (number, range, after) in wanted {
            let listing: LocalBoxFuture<'a, Result<Listed, Fault>> = match range.is_named() {
                true => Box::pin(self.look_up(after)),
                false => Box::pin(self.list(range.prefix, after)),
            };
            self.happening
                .push(Box::pin(async move { Happened::Listed(number, listing.await) }));
        }
    }

    fn list(
        &self,
        prefix: String,
        after: Option<String>,
    ) -> impl Future<Output = Result<Listed, Fault>> + use<'a> {
        let SourcePorts {
            archive, retry, stop, ..
        } = self.ports;
        async move {
            let list = || archive.list(Store::Streams, &prefix, after.as_deref());
            let page = retry.run("list bucket", &prefix, stop, list).await?;
            Ok(Listed {
                page,
                ..Listed::default()
            })
        }
    }

    pub(super) fn close_lanes(&mut self) {
        let done: Vec<usize> = self
            .lanes
            .iter()
            .filter(|(_, lane)| lane.is_done() && !lane.is_saving)
            .map(|(number, _)| *number)
            .collect();
        for number in done {
            if !self.keeps_marks() || self.lanes.get(&number).is_some_and(|lane| lane.is_saved) {
                self.lanes.remove(&number);
            } else {
                self.save(number);
            }
        }
    }

    pub(super) fn keeps_marks(&self) -> bool {
        matches!(self.pass, Pass::First { .. })
    }

    pub(super) fn save_marks(&mut self) {
        if self.keeps_marks() {
            let unsaved = self
                .lanes
                .iter()
                .filter(|(_, lane)| !lane.is_saved && !lane.is_saving);
            for number in unsaved.map(|(number, _)| *number).collect::<Vec<_>>() {
                self.save(number);
            }
        }
    }

    pub(super) fn save(&mut self, number: usize) {
        let Some(lane) = self.lanes.get_mut(&number) else {
            return;
        };
        (lane.is_saved, lane.is_saving) = (true, true);
        let change = RestoreChange::LaneReached(lane.range.name.clone(), lane.mark.clone());
        let state = &self.ports.state;
        self.happening.push(Box::pin(async move {
            let saved = state.record(change).await;
            fault_point::pass(FaultPoint::RestoreLaneSaved);
            Happened::Saved(number, saved)
        }));
    }
}
