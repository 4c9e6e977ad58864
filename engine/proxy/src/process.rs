//! The process: sockets, threads, signals; how it begins, hands over and ends.

use crate::Error;
use crate::admin::{Admin, PurgeCaches, RenderMetrics, Traces};
use crate::counters::Counters;
use crate::listener::Bound;
use crate::serve::{ClientAuthorities, Edge, NoteCertificates, Shared};
use crate::watch::{Current, Loader, Nudge, Ready, Reloader, watch};
use pingora::listeners::tls::TlsSettings;
use pingora::listeners::{ListenerConfig, Listeners};
use pingora::server::{Fds, ListenFds};
use pingora::services::Service as _;
use pingora::services::listening::Service;
use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch as flag;
use tokio::time::{Instant, sleep};
use weir_pipeline::Gateway;
use weir_policy::Revision;

/// How long a kept connection may still bring a request, which is answered and its connection closed, once the process is
/// about to end. Clients under load get to know in that time; a silent connection is closed after it.
const LINGER: Duration = Duration::from_secs(1);
/// How long nothing must be under way before the process ends: HTTP/2 writes its last frames meanwhile.
const QUIET: Duration = Duration::from_millis(100);
/// How long both processes take connections after the sockets were handed over.
const OVERLAP: Duration = Duration::from_secs(1);
/// How long threads have to end once nothing is under way.
const LAST: Duration = Duration::from_millis(500);

/// How to serve.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The policy set's folder.
    pub dir: PathBuf,
    /// How many threads move bytes and run stages; 0: one per core.
    pub threads: usize,
    /// Where the admin API listens; `None`: nowhere.
    pub admin: Option<String>,
    /// How long requests under way have to end when the process is told to.
    pub grace: Duration,
    /// Whether to take over the sockets of a process that runs.
    pub upgrade: bool,
    /// The socket through which sockets are handed over.
    pub upgrade_socket: PathBuf,
    /// Whether changes of the folder take effect.
    pub watch: bool,
}

impl ServeOptions {
    /// The defaults for a folder.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            threads: 0,
            admin: Some("127.0.0.1:9090".to_owned()),
            grace: Duration::from_secs(30),
            upgrade: false,
            upgrade_socket: std::env::temp_dir().join("weir-upgrade.sock"),
            watch: true,
        }
    }
}

/// What serving is made of; what is above makes it.
pub struct Parts {
    /// The first set, loaded.
    pub ready: Ready,
    /// The files that it was made of.
    pub revision: Revision,
    /// What compiles later ones.
    pub loader: Arc<dyn Loader>,
    /// What all plans share. Its sink should tell `traces`.
    pub gateway: Arc<Gateway>,
    /// The last traces.
    pub traces: Arc<Traces>,
    /// Renders the metrics of what is above.
    pub metrics: Arc<RenderMetrics>,
    /// Empties caches.
    pub purge: Arc<PurgeCaches>,
    /// Told once when everything listens.
    pub started: Box<dyn FnOnce(&Started) + Send>,
}

/// What listens where.
#[derive(Clone, Debug)]
pub struct Started {
    /// The set's listeners: name, address, whether it speaks TLS.
    pub listeners: Vec<(Arc<str>, SocketAddr, bool)>,
    /// The admin API.
    pub admin: Option<SocketAddr>,
    /// The revision in force.
    pub revision: String,
}

/// Serves until the process is told to end: SIGTERM drains, SIGINT ends at once, SIGQUIT hands the sockets to a process
/// started with `upgrade` and drains, SIGHUP reloads.
///
/// # Errors
/// What keeps it from starting.
pub fn serve(options: ServeOptions, parts: Parts) -> Result<(), Error> {
    // Already installed is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let bound = parts
        .ready
        .listeners
        .iter()
        .map(|spec| Bound::new(spec).map(Arc::new))
        .collect::<Result<Vec<_>, _>>()?;
    if bound.is_empty() {
        return Err(Error::NoListener);
    }
    let mut fds = if options.upgrade { inherit(&options.upgrade_socket)? } else { Fds::new() };
    let mut wanted = HashSet::new();
    for address in bound.iter().map(|bound| &bound.address).chain(&options.admin) {
        if !wanted.insert(address.clone()) {
            let source = std::io::Error::other(
                "two listeners of this process (or one and the admin API) want this address",
            );
            return Err(Error::Listen { address: address.clone(), source });
        }
    }
    fds.close_unclaimed(&wanted);
    let mut places = std::collections::HashMap::new();
    for address in wanted {
        let place = listen(&mut fds, &address)?;
        places.insert(address, place);
    }
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("weir")
        .enable_all()
        .build()
        .map_err(|source| Error::System { what: "starting threads", source })?;
    let outcome = runtime.block_on(run(options, parts, bound, fds, places));
    runtime.shutdown_timeout(LAST);
    outcome
}

/// Where each address of the set leads; port 0 becomes a real one.
type Places = std::collections::HashMap<String, SocketAddr>;

/// The sockets of the process that runs, once it sends them.
fn inherit(path: &Path) -> Result<Fds, Error> {
    let failed = |reason: String| Error::Upgrade { path: path.to_owned(), reason };
    let socket = path.to_str().ok_or_else(|| failed("the path is not UTF-8".to_owned()))?.to_owned();
    // What waits for the sockets breaks off where the system denies it: that is an error here, not the end.
    let waiting = std::thread::spawn(move || {
        let mut fds = Fds::new();
        fds.get_from_sock(socket.as_str()).map(|()| fds).map_err(|error| error.to_string())
    });
    match waiting.join() {
        Ok(received) => received.map_err(failed),
        Err(_) => Err(failed("the socket cannot be made there".to_owned())),
    }
}

/// Makes sure that an address is listened on, and says where it leads.
fn listen(fds: &mut Fds, address: &str) -> Result<SocketAddr, Error> {
    let failed = |source| Error::Listen { address: address.to_owned(), source };
    if fds.get(address).is_some() {
        // Inherited: what it is called is where it is.
        return address.parse().map_err(|error| failed(std::io::Error::other(error)));
    }
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let place = listener.local_addr().map_err(failed)?;
    fds.add(address.to_owned(), listener.into_raw_fd());
    Ok(place)
}

async fn run(
    options: ServeOptions,
    parts: Parts,
    bound: Vec<Arc<Bound>>,
    fds: Fds,
    places: Places,
) -> Result<(), Error> {
    let system = |what| move |source| Error::System { what, source };
    let mut terminate = signal(SignalKind::terminate()).map_err(system("listening for SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("listening for SIGINT"))?;
    let mut quit = signal(SignalKind::quit()).map_err(system("listening for SIGQUIT"))?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(system("listening for SIGHUP"))?;
    let fds: ListenFds = Arc::new(fds.into());
    let (stop, stopped) = flag::channel(false);
    let counters = Arc::new(Counters::default());
    let draining = Arc::new(AtomicBool::new(false));
    let clock = Arc::clone(&parts.gateway.clock);
    let current = Arc::new(Current::new(Arc::clone(&parts.ready.plan), clock.unix_nanos()));
    for bound in &bound {
        let shared = Shared {
            gateway: Arc::clone(&parts.gateway),
            current: Arc::clone(&current),
            counters: Arc::clone(&counters),
            bound: Arc::clone(bound),
            draining: Arc::clone(&draining),
        };
        let mut listeners = Listeners::new();
        listeners.add_listener(endpoint(bound)?);
        let mut service =
            Service::with_listeners(bound.name.to_string(), listeners, Edge::new(Arc::new(shared)));
        let (fds, stopped) = (Arc::clone(&fds), stopped.clone());
        tokio::spawn(async move { service.start_service(Some(fds), stopped, 1).await });
    }
    if let Some(address) = &options.admin {
        let admin = Admin {
            current: Arc::clone(&current),
            counters: Arc::clone(&counters),
            traces: Arc::clone(&parts.traces),
            draining: Arc::clone(&draining),
            metrics: Arc::clone(&parts.metrics),
            purge: Arc::clone(&parts.purge),
            gateway: Arc::clone(&parts.gateway),
        };
        let mut service = Service::with_listeners("admin".to_owned(), Listeners::tcp(address), admin);
        let (fds, stopped) = (Arc::clone(&fds), stopped.clone());
        tokio::spawn(async move { service.start_service(Some(fds), stopped, 1).await });
    }
    let nudge = if options.watch { Some(reload(&options, &parts, &bound, &current)?) } else { None };
    let place = |address: &str| places.get(address).copied();
    (parts.started)(&Started {
        listeners: bound
            .iter()
            .filter_map(|bound| {
                Some((Arc::clone(&bound.name), place(&bound.address)?, bound.certificate.is_some()))
            })
            .collect(),
        admin: options.admin.as_deref().and_then(place),
        revision: current.status().revision.clone(),
    });
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => return Ok(()),
            _ = hang_up.recv() => {
                if let Some(nudge) = &nudge {
                    let _ = nudge.send(Nudge::Force);
                }
            }
            _ = quit.recv() => {
                if hand_over(&fds, &options.upgrade_socket).await {
                    sleep(OVERLAP).await;
                    break;
                }
            }
        }
    }
    if let Some(nudge) = &nudge {
        let _ = nudge.send(Nudge::Stop);
    }
    draining.store(true, Ordering::Relaxed);
    let _ = stop.send(true);
    tokio::select! {
        () = drain(&counters, options.grace) => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn endpoint(bound: &Bound) -> Result<ListenerConfig, Error> {
    let config = ListenerConfig::tcp(bound.address.clone());
    let Some(certificate) = &bound.certificate else { return Ok(config) };
    let made = match &bound.clients {
        None => TlsSettings::intermediate("", ""),
        Some(_) => TlsSettings::with_callbacks(Box::new(NoteCertificates)),
    };
    let mut settings = made.map_err(|error| Error::Listen {
        address: bound.address.clone(),
        source: std::io::Error::other(error.to_string()),
    })?;
    if let Some(clients) = &bound.clients {
        settings.set_client_cert_verifier(Arc::<ClientAuthorities>::clone(clients));
    }
    let resolver: Arc<dyn rustls::server::ResolvesServerCert> =
        Arc::<crate::serve::Certificate>::clone(certificate);
    settings.set_cert_resolver(resolver);
    settings.enable_h2();
    Ok(config.tls(settings))
}

/// Starts the thread that reloads.
fn reload(
    options: &ServeOptions,
    parts: &Parts,
    bound: &[Arc<Bound>],
    current: &Arc<Current>,
) -> Result<Sender<Nudge>, Error> {
    let reloader = Reloader {
        dir: options.dir.clone(),
        loader: Arc::clone(&parts.loader),
        current: Arc::clone(current),
        clock: Arc::clone(&parts.gateway.clock),
        bound: bound.to_vec(),
        seen: Some(parts.revision),
        unfinished: Arc::default(),
    };
    let bound = bound.to_vec();
    let refresh = move || {
        bound.iter().for_each(|bound| bound.refresh());
    };
    watch(reloader, refresh).map_err(|source| Error::System { what: "starting the reload thread", source })
}

/// Sends the sockets to the new process; whether it took them. If not, this one serves on.
async fn hand_over(fds: &ListenFds, path: &Path) -> bool {
    let (fds, path) = (Arc::clone(fds), path.to_owned());
    let sent = tokio::task::spawn_blocking(move || match path.to_str() {
        Some(path) => fds.lock().send_to_sock(path).map_err(|error| error.to_string()),
        None => Err("the path of the upgrade socket is not UTF-8".to_owned()),
    });
    match sent.await {
        Ok(Ok(_)) => {
            tracing::info!("the sockets were handed over");
            true
        }
        Ok(Err(error)) => {
            tracing::error!(error, "no process took the sockets; this one serves on");
            false
        }
        Err(error) => {
            tracing::error!(%error, "the sockets could not be handed over; this process serves on");
            false
        }
    }
}

/// Done when nothing is under way, or the grace is over.
async fn drain(counters: &Counters, grace: Duration) {
    let began = Instant::now();
    let mut quiet = began;
    tracing::info!(requests = counters.in_flight.get(), connections = counters.open.get(), "draining");
    loop {
        let now = Instant::now();
        if counters.in_flight.get() > 0 {
            quiet = now;
        }
        let idle = now - quiet >= QUIET;
        if idle && (counters.open.get() == 0 || now - began >= LINGER) {
            return;
        }
        if now - began >= grace {
            tracing::warn!(
                requests = counters.in_flight.get(),
                "the grace is over; what is under way is cut"
            );
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
}
