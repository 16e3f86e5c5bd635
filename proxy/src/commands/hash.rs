//! `hash`: makes the hash of a secret for the configuration. The secret comes by standard input, so that no shell keeps
//! it in its history and no other user sees it among the processes.

use std::io::Read;

use anyhow::{Context, bail};
use clap::ValueEnum;
use tollgate_proxy_auth::api_key::{KEY_BYTES_MAX, digest};
use tollgate_proxy_auth::password::{LOGIN_BYTES_MAX, PasswordHash};

/// Fewest bytes of a key: 128 bits, if each byte is random.
const KEY_BYTES_MIN: usize = 16;

/// What is hashed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Secret {
    /// An API key: prints its SHA-256.
    Key,
    /// A password: prints its argon2id hash with a random salt.
    Password,
}

/// Reads a secret from standard input, without the end of its line, and prints its hash.
pub fn run(kind: Secret) -> anyhow::Result<()> {
    let mut secret = Vec::new();
    let most = KEY_BYTES_MAX as u64 + 2;
    std::io::stdin().take(most).read_to_end(&mut secret).context("the secret cannot be read")?;
    println!("{}", hash(kind, &secret)?);
    Ok(())
}

fn hash(kind: Secret, typed: &[u8]) -> anyhow::Result<String> {
    let secret = typed.strip_suffix(b"\n").unwrap_or(typed);
    let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
    match kind {
        Secret::Key if secret.len() < KEY_BYTES_MIN => {
            bail!(
                "the key has {} bytes, and {KEY_BYTES_MIN} are the fewest; make one with `openssl rand -hex 32`",
                secret.len()
            )
        }
        Secret::Key if secret.len() > KEY_BYTES_MAX => {
            bail!("a key has {KEY_BYTES_MAX} bytes at most; make a shorter one")
        }
        Secret::Key => Ok(digest(secret).iter().map(|byte| format!("{byte:02x}")).collect()),
        Secret::Password if secret.is_empty() || secret.len() >= LOGIN_BYTES_MAX => {
            bail!("a password has 1 to {} bytes; write another", LOGIN_BYTES_MAX - 1)
        }
        Secret::Password => PasswordHash::of(secret).map_err(|error| anyhow::anyhow!("no hash could be made: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_line_is_no_part_of_a_secret() {
        let key = "0123456789abcdef";
        for end in ["", "\n", "\r\n"] {
            let typed = format!("{key}{end}");
            assert_eq!(hash(Secret::Key, typed.as_bytes()).unwrap(), hash(Secret::Key, key.as_bytes()).unwrap());
            let stored = hash(Secret::Password, typed.as_bytes()).unwrap();
            assert!(PasswordHash::parse(&stored).unwrap().is_of(key.as_bytes()));
        }
    }

    #[test]
    fn short_keys_and_empty_passwords_are_refused_without_repeating_them() {
        let error = hash(Secret::Key, b"hunter2\n").unwrap_err().to_string();
        assert!(error.starts_with("the key has 7 bytes") && !error.contains("hunter2"), "{error}");
        assert!(hash(Secret::Password, b"\n").is_err());
        assert!(hash(Secret::Key, &[b'k'; KEY_BYTES_MAX + 1]).is_err());
        assert!(hash(Secret::Password, &[b'p'; LOGIN_BYTES_MAX]).is_err());
    }
}
