//! An S3 server on loopback, whose objects are files in a folder: s3s-fs, with what a test needs around it.
//!
//! * Signatures are checked, and so are payloads *before* an object becomes visible: `Content-MD5` (which s3s-fs
//!   looks at too late, or for parts not at all) and the signed SHA-256.
//! * Lifecycle rules are kept byte for byte, and open multipart uploads are listed, which s3s-fs does not do.
//! * Objects are listed as S3 lists them: in URL encoding, page by page.
//! * Knobs ([`Knobs`]) make it slow, failing, or silent; counters ([`Counters`]) tell what it saw.
//! * It can go away and come back on the same port, with everything that it had.

mod counters;
mod knobs;
mod listing;
mod routes;
mod serve;
mod uploads;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::SystemTime;

use tokio::sync::oneshot;

pub use counters::{Counters, Seen};
pub use knobs::{Failure, Knobs, Operation};
pub use uploads::{OpenUpload, open as open_uploads};

/// How the server is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where buckets are folders; created if missing.
    pub root: PathBuf,
    /// The port; 0 for any.
    pub port: u16,
    /// The only access key.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
    /// Threads that serve requests.
    pub workers: usize,
}

impl Config {
    /// Keys `sandbox` and `sandbox-secret`, any port.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            port: 0,
            access_key: "sandbox".to_owned(),
            secret_key: "sandbox-secret".to_owned(),
            workers: 1,
        }
    }
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// The server. It is stopped when it is dropped.
pub struct S3Server {
    config: Config,
    address: SocketAddr,
    knobs: Arc<Knobs>,
    counters: Arc<Counters>,
    running: Option<Running>,
}

impl S3Server {
    /// Starts it.
    ///
    /// # Errors
    /// The folder cannot be made, or the port is taken.
    pub fn start(config: Config) -> io::Result<Self> {
        std::fs::create_dir_all(&config.root)?;
        let listener = TcpListener::bind(("127.0.0.1", config.port))?;
        let address = listener.local_addr()?;
        let mut server = Self {
            config,
            address,
            knobs: Arc::default(),
            counters: Arc::default(),
            running: None,
        };
        server.run(listener)?;
        Ok(server)
    }

    /// `host:port`, as the settings want it.
    pub fn endpoint(&self) -> String {
        self.address.to_string()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How it was set up.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What makes it fail.
    pub fn knobs(&self) -> &Knobs {
        &self.knobs
    }

    /// What it saw.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The file that holds an object.
    pub fn object_path(&self, bucket: &str, key: &str) -> PathBuf {
        self.config.root.join(bucket).join(key)
    }

    /// Gives an object another date.
    ///
    /// # Errors
    /// There is no such object.
    pub fn set_modified(&self, bucket: &str, key: &str, modified: SystemTime) -> io::Result<()> {
        let file = std::fs::File::options()
            .write(true)
            .open(self.object_path(bucket, key))?;
        file.set_modified(modified)
    }

    /// The keys of all objects in a bucket, in order. None if there is no such bucket.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn keys(&self, bucket: &str) -> io::Result<Option<Vec<String>>> {
        keys(&self.config.root, bucket)
    }

    /// How many multipart uploads are neither complete nor aborted.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn open_uploads(&self) -> io::Result<usize> {
        open_uploads(&self.config.root).map(|open| open.len())
    }

    /// Waits until no request is being served, those of clients that have gone included; false after `longest`.
    /// What a killed client asked for has had its effect then, or never will.
    pub fn is_idle_within(&self, longest: std::time::Duration) -> bool {
        self.counters.wait_until(longest, |seen| seen.in_flight == 0)
    }

    /// Whether it is there.
    pub fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// Goes away: connections break, new ones are refused.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            // a server that has ended by itself does not listen any more
            let _ = running.stop.send(());
            if running.thread.join().is_err() {
                log::error!("the S3 server panicked");
            }
        }
    }

    /// Comes back on the same port with the same objects.
    ///
    /// # Errors
    /// The port was taken meanwhile.
    pub fn restart(&mut self) -> io::Result<()> {
        self.stop();
        self.run(TcpListener::bind(self.address)?)
    }

    fn run(&mut self, listener: TcpListener) -> io::Result<()> {
        let (stop, stopped) = oneshot::channel();
        let (started, start) = mpsc::channel();
        let state = serve::State::new(&self.config, Arc::clone(&self.knobs), Arc::clone(&self.counters))?;
        let workers = self.config.workers;
        let thread = std::thread::Builder::new()
            .name("s3".to_owned())
            .spawn(move || serve::run(listener, state, workers, stopped, &started))?;
        start.recv().map_err(io::Error::other)??;
        self.running = Some(Running { stop, thread });
        Ok(())
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The keys of all objects in a bucket below `root`, in order. None if there is no such bucket.
///
/// # Errors
/// The folder cannot be read.
pub fn keys(root: &Path, bucket: &str) -> io::Result<Option<Vec<String>>> {
    let base = root.join(bucket);
    if !base.is_dir() {
        return Ok(None);
    }
    let (mut keys, mut folders) = (Vec::new(), vec![base.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if let Some(key) = entry.path().strip_prefix(&base).ok().and_then(Path::to_str) {
                keys.push(key.to_owned());
            }
        }
    }
    keys.sort();
    Ok(Some(keys))
}
