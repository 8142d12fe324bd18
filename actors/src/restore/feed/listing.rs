//! The listing of a feed, page by page: put in order, and what is done passed over.

use super::*;

impl Bundles<'_> {
    /// The next bundle that is wanted and not done.
    pub(super) async fn next(&mut self) -> Result<Option<ListedBundle>, Halt> {
        loop {
            while let Some(listed) = self.ready.pop_front() {
                self.ports.standing.looked_at_one();
                if !self.wanted.wants(listed.key.timestamp()) {
                    continue;
                }
                match self.ports.done(&listed)? {
                    None => return Ok(Some(listed)),
                    Some(figures) => self.pass_over(&listed, figures),
                }
            }
            if self.is_listed {
                return Ok(None);
            }
            self.list().await?;
        }
    }

    /// One that is done: what is shown of it is not kept in local state, and follows from its name.
    fn pass_over(&self, listed: &ListedBundle, figures: EventFigures) {
        let could_be_read = figures.bundles > 0;
        if could_be_read {
            self.note_readable(listed);
        }
        let is_cut = could_be_read && !self.rules.window.is_unbounded();
        let reached = listed.key.timestamp();
        self.ports.standing.feed(&self.rules.feed, |standing| {
            standing.reached = standing.reached.max(Some(reached));
            // The last pass comes by those that this start has done.
            if is_cut && !standing.is_done {
                standing.not_wanted += listed.key.count().saturating_sub(figures.events);
            }
        });
    }

    /// Lists one more page, and puts it in order.
    async fn list(&mut self) -> Result<(), Halt> {
        if let WhichBundles::Named(names) = &self.rules.which {
            return self.look_up(names).await;
        }
        let FeedRestorePorts {
            archive, retry, stop, ..
        } = self.ports;
        let (prefix, after) = (&self.prefix, self.listed_to.as_deref());
        let list = || archive.list(Store::Events, prefix, after);
        let page = retry.run("list bucket", prefix, stop, list).await?;
        self.ports.standing.looked_at_one();
        self.listed_to = page
            .objects
            .last()
            .map(|object| object.key.clone())
            .or(self.listed_to.take());
        self.put_in_order(page.objects, !page.more).await
    }

    /// Takes what was listed, in the order in which it was.
    pub(super) async fn put_in_order(
        &mut self,
        objects: Vec<ListedObject>,
        is_all: bool,
    ) -> Result<(), Halt> {
        let objects = objects.into_iter();
        for object in objects.filter(|object| !self.ports.standing.passes_over(object)) {
            let key = listed_key::bundle(&object.key).ok().map(|listed| listed.name);
            match key.filter(|key| *key.feed() == self.rules.feed) {
                Some(key) => self.ready.extend(self.order.push(ListedBundle::new(key, object))),
                None => self.bury_stray(&object).await?,
            }
        }
        if is_all {
            self.is_listed = true;
            self.ready.extend(self.order.finish());
        }
        Ok(())
    }

    /// An object whose key is not one of a bundle.
    async fn bury_stray(&self, object: &ListedObject) -> Result<(), Halt> {
        let feed = &self.rules.feed;
        let at = Timestamp::default();
        if self
            .ports
            .state
            .done(feed, at, &object.key, object.size)?
            .is_some()
        {
            return Ok(());
        }
        let detail = "its key is not SOURCE/MODEL/ACTION/TIME-COUNT-KEY: it is not a bundle of a backup";
        let fault = Fault::corrupt("restore bundle", object.key.escape_debug(), detail);
        bury_object(self.ports, &object.key, &fault).await?;
        let figures = EventFigures {
            unreadable: 1,
            bytes: object.size,
            ..EventFigures::default()
        };
        note(self.ports, feed, at, object, figures).await
    }
}
