//! Which lanes there are, what they list, and how far they have come.

use super::*;

impl<'a> Run<'a> {
    pub(super) async fn find_labels(&mut self) -> Result<(), Halt> {
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
                self.bury_stray(&object).await?;
            }
            match next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    pub(super) async fn retried<T, F: Future<Output = Result<T, Fault>>>(
        &self,
        operation: &'static str,
        target: &str,
        attempt: impl FnMut() -> F,
    ) -> Result<T, Fault> {
        let SourcePorts { retry, stop, .. } = self.ports;
        retry.run(operation, &target, stop, attempt).await
    }

    /// Opens one more lane, if there is one.
    pub(super) async fn open_lane(&mut self) -> Result<bool, Halt> {
        if self.ranges.is_empty() {
            if let Some(label) = self.labels.pop_front() {
                let prefix = format!("{}/{label}/", self.source);
                let first = || self.ports.archive.list(Store::Streams, &prefix, None);
                let page = self.retried("list bucket", &prefix, first).await?;
                if self.was_cut(&prefix)? {
                    let ranges = LaneRange::cut(&prefix).into_iter();
                    self.ranges.extend(ranges.map(|range| (range, None)));
                } else if LaneRange::is_to_be_cut(&prefix, &page) {
                    // All of the page belongs to the first lane.
                    let pages = std::iter::once(Some(page)).chain(std::iter::repeat_with(|| None));
                    self.ranges.extend(LaneRange::cut(&prefix).into_iter().zip(pages));
                } else {
                    self.ranges.push_back((LaneRange::whole(&prefix), Some(page)));
                }
            } else if let Some((key, MayBeAbsent(may_be_absent))) = self.named.pop_front() {
                let named = || self.ports.archive.list(Store::Streams, &key, None);
                let mut page = self.retried("list bucket", &key, named).await?;
                page.more = false;
                page.objects
                    .retain(|object| listed_key::plain(&object.key).0 == key);
                self.note_hash(&page);
                if page.objects.is_empty() && !may_be_absent {
                    let absent = Fault::missing("restore stream", &key, "it is not in the bucket");
                    if self.row(&key)? != Row::Told {
                        self.bury(&key, 0, &absent, 1).await?;
                    }
                }
                self.ranges.push_back((LaneRange::whole(&key), Some(page)));
            }
        }
        let Some((range, page)) = self.ranges.pop_front() else {
            return Ok(false);
        };
        let mark = self.mark_of(&range)?;
        let mut lane = Lane::new(range, mark);
        if let Some(page) = page {
            lane.take(page, |object| self.pass.looks_at(object));
        }
        if let Some(witness) = Witness::at(&lane.mark) {
            self.ports.seen.borrow_mut().goes_through(witness);
        }
        self.lanes.insert(self.next_lane, lane);
        self.next_lane += 1;
        Ok(true)
    }

    /// Small labels are short lanes: then it takes as many of them as there are jobs.
    pub(super) fn wants_lanes(&self) -> bool {
        let waiting = || self.lanes.values().map(|lane| lane.queue.len()).sum::<usize>();
        let most_out = self.ports.most_out;
        self.lanes.len() < LANES || (self.lanes.len() < most_out && waiting() + self.out < most_out)
    }

    pub(super) fn note_hash(&self, page: &ListPage) {
        let hashes = page
            .objects
            .iter()
            .filter_map(|object| listed_key::stream(&object.key).ok());
        let mut found = self.ports.found.borrow_mut();
        found.extend(hashes.map(|listed| *listed.name.sha256()));
    }

    pub(super) fn list_ahead(&mut self) {
        for (number, lane) in &mut self.lanes {
            let Some(after) = lane.next_page(FEW) else {
                continue;
            };
            lane.is_listing = true;
            let (number, prefix) = (*number, lane.range.prefix.clone());
            let SourcePorts {
                archive, retry, stop, ..
            } = self.ports;
            self.happening.push(Box::pin(async move {
                let list = || archive.list(Store::Streams, &prefix, after.as_deref());
                let page = retry.run("list bucket", &prefix, stop, list).await;
                Happened::Listed(number, page)
            }));
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
