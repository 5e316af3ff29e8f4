//! The codes of a frame's header: edition, command, response flag, encryption. Knows nothing of data units.

/// Which text of the standard a frame follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Edition {
    /// GB/T 32960.3-2016: frames begin with `23 23`.
    E2016,
    /// GB/T 32960.3-2025: frames begin with `24 24`.
    E2025,
}

impl Edition {
    /// Both, the older one first.
    pub const ALL: [Self; 2] = [Self::E2016, Self::E2025];

    /// The byte that a frame of this edition begins with, twice.
    pub fn start(self) -> u8 {
        match self {
            Self::E2016 => 0x23,
            Self::E2025 => 0x24,
        }
    }

    /// The edition of frames that begin with `byte`.
    pub fn of_start(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|edition| edition.start() == byte)
    }

    /// The year, as in the name of the standard.
    pub fn year(self) -> u16 {
        match self {
            Self::E2016 => 2016,
            Self::E2025 => 2025,
        }
    }

    /// The edition of the year `year`.
    pub fn of_year(year: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|edition| edition.year() == year)
    }
}

macro_rules! codes {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $constant:ident = $code:literal, $word:literal;)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u8);

        impl $name {
            $($(#[$doc])* pub const $constant: Self = Self($code);)*

            /// The word for this code, if it has one.
            pub fn word(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some($word),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// What a frame is for (byte 2).
    Command {
        /// Vehicle login.
        VEHICLE_LOGIN = 0x01, "vehicle login";
        /// Realtime report.
        REALTIME = 0x02, "realtime report";
        /// Reissued report.
        REISSUED = 0x03, "reissued report";
        /// Vehicle logout.
        VEHICLE_LOGOUT = 0x04, "vehicle logout";
        /// Platform login.
        PLATFORM_LOGIN = 0x05, "platform login";
        /// Platform logout.
        PLATFORM_LOGOUT = 0x06, "platform logout";
        /// Heartbeat.
        HEARTBEAT = 0x07, "heartbeat";
        /// Time synchronisation.
        TIME_SYNC = 0x08, "time sync";
        /// Activation (2025).
        ACTIVATION = 0x09, "activation";
        /// Reply to an activation (2025).
        ACTIVATION_REPLY = 0x0A, "activation reply";
        /// Key exchange (2025).
        KEY_EXCHANGE = 0x0B, "key exchange";
        /// Query of parameters.
        PARAMETER_QUERY = 0x80, "parameter query";
        /// Setting of parameters.
        PARAMETER_SET = 0x81, "parameter set";
        /// Control of the terminal.
        CONTROL = 0x82, "control";
    }
}

impl Command {
    /// Whether it carries what a vehicle has to say: realtime and reissued reports.
    pub fn is_report(self) -> bool {
        matches!(self, Self::REALTIME | Self::REISSUED)
    }
}

codes! {
    /// The response flag (byte 3).
    Response {
        /// Good.
        OK = 0x01, "ok";
        /// An error.
        ERROR = 0x02, "error";
        /// The VIN is there twice.
        VIN_DUPLICATE = 0x03, "VIN duplicate";
        /// The VIN is not known (2025).
        VIN_UNKNOWN = 0x04, "VIN unknown";
        /// The signature does not verify (2025).
        BAD_SIGNATURE = 0x05, "bad signature";
        /// The structure is wrong (2025).
        BAD_STRUCTURE = 0x06, "bad structure";
        /// It does not decrypt (2025).
        DECRYPTION_ERROR = 0x07, "decryption error";
        /// No response: this is a command.
        COMMAND = 0xFE, "command";
    }
}

codes! {
    /// How the data unit is encrypted (byte 21).
    Encryption {
        /// Not at all.
        NONE = 0x01, "none";
        /// RSA.
        RSA = 0x02, "RSA";
        /// AES-128.
        AES_128 = 0x03, "AES-128";
        /// SM2 (2025).
        SM2 = 0x04, "SM2";
        /// SM4 (2025).
        SM4 = 0x05, "SM4";
        /// Abnormal.
        ABNORMAL = 0xFE, "abnormal";
        /// Invalid.
        INVALID = 0xFF, "invalid";
    }
}
