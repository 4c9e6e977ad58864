//! From the section `state: { redis }` to the settings of a connection.

use std::path::Path;
use weir_diagnostic::Diagnostic;
use weir_policy::RedisState;
use weir_state::{RedisClientTls, RedisPlace, RedisSettings, RedisTls};

/// The settings, with secrets and certificates read.
pub(crate) fn settings(
    redis: &RedisState,
    env: &dyn Fn(&str) -> Option<String>,
    root: &Path,
) -> Result<RedisSettings, String> {
    let told = |found: Diagnostic| match &found.help {
        Some(help) => format!("{}: {help}", found.message),
        None => found.message,
    };
    let read = |path: &str| {
        std::fs::read(root.join(path)).map_err(|error| format!("`{path}` cannot be read: {error}"))
    };
    let list = |urls: &[weir_policy::Spanned<String>]| urls.iter().map(|url| url.value.clone()).collect();
    let place = match (&redis.url, &redis.sentinel) {
        (Some(url), _) => RedisPlace::Single(url.value.resolve(env, root).map_err(told)?.expose().to_owned()),
        (None, Some(sentinel)) => {
            RedisPlace::Sentinel { master: sentinel.master.clone(), sentinels: list(&sentinel.at) }
        }
        (None, None) => RedisPlace::Cluster(list(&redis.cluster)),
    };
    let password = match &redis.password {
        Some(password) => Some(password.resolve(env, root).map_err(told)?.expose().to_owned()),
        None => None,
    };
    let mut tls = RedisTls::default();
    if let Some(given) = &redis.tls {
        tls.ca = given.ca.as_deref().map(read).transpose()?;
        if let (Some(certificate), Some(key)) = (&given.certificate, &given.key) {
            tls.client = Some(RedisClientTls { certificate: read(certificate)?, key: read(key)? });
        }
    }
    Ok(RedisSettings {
        place,
        username: redis.username.clone(),
        password,
        tls,
        timeout: redis.timeout.0,
        prefix: redis.prefix.clone(),
    })
}
