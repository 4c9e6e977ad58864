//! A process that is measured, and what the kernel says of it.

use crate::Outcome;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A process; killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) port: u16,
}

/// Where a process may run.
#[derive(Clone, Copy)]
pub(crate) enum Core {
    /// The core of what is measured.
    Measured,
    /// The core of the load and the upstream.
    Load,
    /// Any.
    Any,
}

impl Process {
    /// Starts a process and waits until its port takes connections.
    pub(crate) fn start(mut command: Command, port: u16, core: Core) -> Outcome<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        pin(core)?;
        let child = command.spawn();
        pin(Core::Load)?;
        let mut process = Self {
            child: child.map_err(|error| format!("{}: {error}", command.get_program().display()))?,
            port,
        };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = process.child.try_wait()? {
                return Err(format!("{} ended: {status}", command.get_program().display()).into());
            }
            if began.elapsed() > Duration::from_secs(60) {
                return Err(format!("{} does not listen", command.get_program().display()).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(process)
    }

    /// The CPU time of the process so far, in user and in kernel (proc_pid_stat(5), fields 14 and 15).
    pub(crate) fn cpu(&self) -> Outcome<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name may hold spaces; what follows it does not.
        let (_, rest) = stat.rsplit_once(')').ok_or("no name in stat")?;
        let mut ticks = 0;
        for field in rest.split_whitespace().skip(11).take(2) {
            ticks += field.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(ticks * (1_000_000_000 / rustix::param::clock_ticks_per_second())))
    }

    /// The memory that is resident now, in KiB (proc_pid_status(5), `VmRSS`).
    pub(crate) fn resident(&self) -> Outcome<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already dead is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets this thread, and what it starts, run on one core of the two that are used, or on any.
fn pin(core: Core) -> Outcome<()> {
    thread_local! {
        static ALL: std::cell::OnceCell<CpuSet> = const { std::cell::OnceCell::new() };
    }
    let now = sched_getaffinity(None)?;
    let all = ALL.with(|all| *all.get_or_init(|| now));
    let mut cores = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core));
    let (Some(first), Some(second)) = (cores.next(), cores.next()) else { return Ok(()) };
    let mut set = CpuSet::new();
    match core {
        Core::Measured => set.set(first),
        Core::Load => set.set(second),
        Core::Any => set = all,
    }
    Ok(sched_setaffinity(None, &set)?)
}

/// How long the host of a virtual machine ran others in its place so far, in ticks (proc_stat(5), `steal`).
pub(crate) fn stolen() -> Outcome<u64> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let steal =
        stat.lines().next().and_then(|all| all.split_whitespace().nth(8)).ok_or("no steal in /proc/stat")?;
    Ok(steal.parse()?)
}

/// A port that is free now.
pub(crate) fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
