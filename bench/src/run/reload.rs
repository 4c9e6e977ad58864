//! Reload: from a save to the first reply under the new revision.

use super::Bench;
use crate::process::{Core, free_port};
use crate::table::{Row, median};
use crate::wire::Wire;
use crate::{Outcome, prompts, sets};
use std::time::{Duration, Instant};

/// The longest wait for a save to take effect.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn rows(bench: &Bench) -> Outcome<Vec<Row>> {
    let (port, upstream) = (free_port()?, bench.upstream.port);
    let dir = bench.folder.path().join("many");
    std::fs::create_dir_all(&dir)?;
    for (name, text) in sets::many(port, upstream, 0) {
        std::fs::write(dir.join(name), text)?;
    }
    let weir = bench.serve(&dir, port, Core::Any, &[])?;
    let request = prompts::plain(1 << 10);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let times = runtime.block_on(async {
        let mut wire = Wire::connect(weir.port).await?;
        let mut times = Vec::new();
        for mark in 1..=bench.choose(20, 7) {
            let before = wire.ask(&request).await?;
            if before.status != 200 {
                return Err(format!("a reply with status {}", before.status).into());
            }
            let draft = bench.folder.path().join("draft");
            let (name, text) = sets::many(port, upstream, mark).swap_remove(1);
            std::fs::write(&draft, text)?;
            std::fs::rename(&draft, dir.join(name))?;
            let saved = Instant::now();
            while wire.ask(&request).await?.revision == before.revision {
                if saved.elapsed() > PATIENCE {
                    return Err("a save took no effect".into());
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            times.push(saved.elapsed().as_secs_f64() * 1e3);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        Outcome::Ok(times)
    })?;
    let (middle, _, greatest) = median(times);
    Ok(vec![
        Row::bound("save to serving, median, 200 pipelines of 8 stages", "ms", middle, 250.0),
        Row::bound("save to serving, slowest", "ms", greatest, 250.0).for_information(),
    ])
}
