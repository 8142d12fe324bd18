//! Connections: one request each, bounded in number, size and time.

use std::cell::Cell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_http::{HttpService, KeepAlive, Request};
use actix_service::{Service as _, ServiceFactory as _, fn_service};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use super::answers;
use super::scrapes::{Scrape, Scrapes};
use super::{CONNECTION_TIME, HEAD_TIME, MOST_CONNECTIONS, MOST_HEAD, PATIENCE, Views};
use crate::observe::health::{Life, Signs};

/// After a failed accept (no more file descriptors) it is pointless to try again at once.
const PAUSE: Duration = Duration::from_millis(200);

/// What every connection works with.
#[derive(Clone)]
pub(super) struct Served {
    views: Arc<Views>,
    signs: Arc<Mutex<Signs>>,
    /// Figures are taken one after the other: who asks often does not make threads.
    taking: Arc<Semaphore>,
    scrapes: Scrapes,
}

/// Why there are no figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoFigures {
    #[error("the figures could not be taken within {PATIENCE:?}")]
    Late,
    #[error("the figures could not be taken: this program is wrong, see its log")]
    Panicked,
}

impl Served {
    pub(super) fn new(views: Views, scrapes: Scrapes) -> Self {
        let signs = Signs::new(views.pulse.clone(), views.longest_silence, Instant::now());
        Self {
            views: Arc::new(views),
            signs: Arc::new(Mutex::new(signs)),
            taking: Arc::new(Semaphore::new(1)),
            scrapes,
        }
    }

    /// Whether the actors answer each other.
    pub(super) fn life(&self) -> Life {
        // Nothing panics while it is held.
        let mut signs = self.signs.lock().unwrap_or_else(PoisonError::into_inner);
        signs.look(Instant::now())
    }

    pub(super) fn begin_scrape(&self) -> Scrape {
        self.scrapes.begin()
    }

    /// Renders the figures, on a thread that may hang.
    pub(super) async fn rendered<T: Send + 'static>(
        &self,
        render: impl FnOnce(&Views) -> T + Send + 'static,
    ) -> Result<T, NoFigures> {
        let (views, taking) = (Arc::clone(&self.views), Arc::clone(&self.taking));
        let rendering = async move {
            // Err: never closed.
            let permit = taking.acquire_owned().await.map_err(|_| NoFigures::Panicked)?;
            let task = tokio::task::spawn_blocking(move || {
                let rendered = render(&views);
                drop(permit);
                rendered
            });
            task.await.map_err(|_| NoFigures::Panicked)
        };
        let rendered = tokio::time::timeout(PATIENCE, rendering).await;
        rendered.unwrap_or(Err(NoFigures::Late))
    }
}

/// Serves until `stopped`, on this thread.
pub(super) fn serve(
    listener: std::net::TcpListener,
    served: Served,
    stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    let runtime = actix_rt::Runtime::new()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        let every = served
            .signs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .every();
        let looking = served.clone();
        actix_rt::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                looking.life();
            }
        });
        tokio::select! {
            () = accept(listener, served) => {}
            // Dropped, or told: the same.
            _ = stopped => {}
        }
        Ok(())
    })
}

async fn accept(listener: TcpListener, served: Served) {
    let mut open: VecDeque<JoinHandle<()>> = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::debug!("a connection for metrics or health was not accepted: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() >= MOST_CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let served = served.clone();
        open.push_back(actix_rt::spawn(async move {
            if tokio::time::timeout(CONNECTION_TIME, connection(stream, served))
                .await
                .is_err()
            {
                log::debug!("a connection for metrics or health took too long");
            }
        }));
    }
}

/// One request, its answer, and the end.
async fn connection(stream: TcpStream, served: Served) {
    let peer = stream.peer_addr().ok();
    let scrape: Rc<Cell<Option<Scrape>>> = Rc::default();
    let (scrapes, noted) = (served.scrapes.clone(), Rc::clone(&scrape));
    let answer = move |request: Request| {
        let (served, noted) = (served.clone(), Rc::clone(&noted));
        async move { Ok::<_, Infallible>(answers::answer(&served, &request, &noted).await) }
    };
    let service = HttpService::build()
        .keep_alive(KeepAlive::Disabled)
        .client_request_timeout(HEAD_TIME)
        .client_disconnect_timeout(HEAD_TIME)
        .h1(fn_service(answer))
        .new_service(());
    let Ok(service) = service.await else {
        return;
    };
    let (read, write) = stream.into_split();
    let bounded = tokio::io::join(read.take(MOST_HEAD), write);
    match service.call((bounded, peer)).await {
        Ok(()) => {
            if let Some(scrape) = scrape.get() {
                scrapes.sent(scrape);
            }
        }
        // Who went away, or spoke no HTTP: nothing that an operator could do something about.
        Err(error) => log::debug!("a connection for metrics or health broke off: {error}"),
    }
}
