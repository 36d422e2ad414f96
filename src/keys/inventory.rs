//! What there is in a keyring: every key with its use, for whoever lists or watches them.

use chrono::{DateTime, Utc};

use super::{Keyring, SealingKey};

/// What a key is used for at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Tokens are signed with it.
    Signs,
    /// It could sign, and another one does: a newer one, or an older one for as long as it is too new.
    CouldSign,
    /// It verifies only.
    Verifies,
    /// Data is sealed with it.
    Seals,
    /// It could seal, and another one does.
    CouldSeal,
    /// It opens only.
    Opens,
}

impl Role {
    /// The name that programs know it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signs => "signs",
            Self::CouldSign => "could_sign",
            Self::Verifies => "verifies",
            Self::Seals => "seals",
            Self::CouldSeal => "could_seal",
            Self::Opens => "opens",
        }
    }
}

/// One key of a keyring.
#[derive(Debug, Clone, Copy)]
pub struct Listed<'a> {
    /// Its name.
    pub kid: &'a str,
    /// The name of its algorithm.
    pub algorithm: &'static str,
    /// What it is used for.
    pub role: Role,
    /// When it was made, where that is known.
    pub created: Option<DateTime<Utc>>,
}

impl Keyring {
    /// Every key: those for signatures first, then those for seals, each kind by name.
    pub fn inventory(&self) -> impl Iterator<Item = Listed<'_>> {
        let signing = self.keys().iter().map(|key| {
            let role = match (key.kid() == self.signer().kid(), key.can_sign()) {
                (true, _) => Role::Signs,
                (false, true) => Role::CouldSign,
                (false, false) => Role::Verifies,
            };
            Listed { kid: key.kid(), algorithm: key.algorithm(), role, created: key.created() }
        });
        let sealer = self.sealer().map(SealingKey::kid);
        let sealing = self.sealing_keys().iter().map(move |key| {
            let role = match (sealer == Some(key.kid()), key.can_seal()) {
                (true, _) => Role::Seals,
                (false, true) => Role::CouldSeal,
                (false, false) => Role::Opens,
            };
            Listed { kid: key.kid(), algorithm: "AES-256-GCM-SIV", role, created: key.created() }
        });
        signing.chain(sealing)
    }
}
