//! What can go wrong: the troubles a machine may have, how often, and what it takes to be rid of them.
//! Knows conditions as MTConnect part 3 defines them, not when they occur.

use crate::signals::MachineType;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Warning,
    Fault,
}

impl Level {
    /// The standard's word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "WARNING",
            Self::Fault => "FAULT",
        }
    }
}

/// One active entry of a condition; signal and native code tell entries apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alarm {
    pub(crate) signal: &'static str,
    pub(crate) level: Level,
    pub(crate) native_code: String,
    pub(crate) native_severity: &'static str,
    /// `HIGH`, `LOW` or nothing.
    pub(crate) qualifier: &'static str,
    pub(crate) message: String,
}

impl Alarm {
    /// Whether both are the same trouble, whatever their text.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.signal == other.signal && self.native_code == other.native_code
    }
}

/// The language in which a machine's builder wrote its texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    Chinese,
}

impl Language {
    /// The one of two texts that is in this language.
    pub(crate) fn pick<'a>(self, english: &'a str, chinese: &'a str) -> &'a str {
        match self {
            Self::English => english,
            Self::Chinese => chinese,
        }
    }
}

/// What a trouble does to the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Production goes on.
    None,
    /// The program waits where it is and goes on afterwards.
    Interrupts,
    /// The program is lost, and with it the part.
    Stops,
    /// As [`Effect::Stops`], and the emergency stop has been triggered.
    EmergencyStop,
}

/// A trouble that machines may have.
#[derive(Debug)]
pub(crate) struct Trouble {
    signal: &'static str,
    native_code: &'static str,
    native_severity: &'static str,
    qualifier: &'static str,
    english: &'static str,
    chinese: &'static str,
    pub(crate) effect: Effect,
    /// How long it takes to mend, once somebody is there.
    pub(crate) repair_secs: std::ops::Range<i64>,
    /// How often, compared with the others.
    pub(crate) weight: u32,
    only: Option<MachineType>,
}

impl Trouble {
    /// The condition entry that announces it.
    pub(crate) fn alarm(&self, language: Language) -> Alarm {
        Alarm {
            signal: self.signal,
            level: if self.effect == Effect::None { Level::Warning } else { Level::Fault },
            native_code: self.native_code.to_owned(),
            native_severity: self.native_severity,
            qualifier: self.qualifier,
            message: language.pick(self.english, self.chinese).to_owned(),
        }
    }

    /// Whether machines of this type can have it.
    pub(crate) fn befalls(&self, kind: MachineType) -> bool {
        self.only.is_none_or(|only| only == kind)
    }
}

/// The warning that coolant runs low; raised by the level itself.
pub(crate) fn coolant_low(language: Language) -> Alarm {
    Alarm {
        signal: "coolant_condition",
        level: Level::Warning,
        native_code: "3021".to_owned(),
        native_severity: "2",
        qualifier: "LOW",
        message: language.pick("Coolant level low", "切削液液位低").to_owned(),
    }
}

/// The warning, and later the fault, that a tool comes to the end of its life.
pub(crate) fn tool_life(level: Level, tool: u8, language: Language) -> Alarm {
    let (english, chinese) = match level {
        Level::Warning => ("tool life nearly used up", "刀具寿命即将用尽"),
        Level::Fault => ("tool life expired", "刀具寿命已到"),
    };
    Alarm {
        signal: "tool_life",
        level,
        native_code: format!("70{tool:02}"),
        native_severity: if level == Level::Fault { "3" } else { "1" },
        qualifier: "",
        message: format!("T{tool:02} {}", language.pick(english, chinese)),
    }
}

const fn trouble(
    (signal, native_code, native_severity, qualifier): (&'static str, &'static str, &'static str, &'static str),
    (english, chinese): (&'static str, &'static str),
    effect: Effect,
    repair_secs: std::ops::Range<i64>,
    weight: u32,
    only: Option<MachineType>,
) -> Trouble {
    Trouble { signal, native_code, native_severity, qualifier, english, chinese, effect, repair_secs, weight, only }
}

use Effect::{EmergencyStop, Interrupts, None as NoEffect, Stops};
use MachineType::{Lathe, Mill3Axis, Mill5Axis};

/// All of them, warnings and faults.
pub(crate) static TROUBLES: &[Trouble] = &[
    trouble(
        ("system_condition", "1105", "1", ""),
        ("Battery of the absolute encoders low", "绝对编码器电池电压低"),
        NoEffect,
        900..2400,
        2,
        None,
    ),
    trouble(
        ("system_condition", "1210", "1", "HIGH"),
        ("Control cabinet temperature high", "电控柜温度偏高"),
        NoEffect,
        600..1800,
        3,
        None,
    ),
    trouble(
        ("spindle_condition", "9044", "1", "HIGH"),
        ("Spindle bearing temperature high", "主轴轴承温度偏高"),
        NoEffect,
        600..1500,
        4,
        None,
    ),
    trouble(
        ("hydraulic_condition", "2210", "2", "HIGH"),
        ("Hydraulic filter clogged", "液压滤芯堵塞"),
        NoEffect,
        900..2700,
        3,
        None,
    ),
    trouble(
        ("pneumatic_condition", "2307", "1", "LOW"),
        ("Air pressure below 5 bar | check the regulator", "气压低于5bar | 请检查调压阀"),
        NoEffect,
        300..1200,
        3,
        None,
    ),
    trouble(
        ("coolant_condition", "3040", "1", ""),
        ("Coolant filter change due", "切削液滤芯需更换"),
        NoEffect,
        900..3600,
        3,
        None,
    ),
    trouble(
        ("logic_condition", "2051", "2", ""),
        ("Chip conveyor overload", "排屑器过载"),
        NoEffect,
        300..900,
        4,
        None,
    ),
    trouble(("logic_condition", "2014", "3", ""), ("Door interlock open", "安全门未关闭"), Interrupts, 20..90, 6, None),
    trouble(
        ("coolant_condition", "3011", "3", "LOW"),
        ("Through-tool coolant pressure low", "中心出水压力低"),
        Interrupts,
        120..480,
        4,
        None,
    ),
    trouble(
        ("pneumatic_condition", "2301", "3", "LOW"),
        ("Air pressure lost", "气源压力不足"),
        Interrupts,
        90..420,
        3,
        None,
    ),
    trouble(
        ("hydraulic_condition", "2201", "3", "LOW"),
        ("Chuck clamping pressure low", "卡盘夹紧压力低"),
        Interrupts,
        120..420,
        4,
        Some(Lathe),
    ),
    trouble(
        ("logic_condition", "2077", "3", ""),
        ("Bar feeder: no bar", "送料机无棒料"),
        Interrupts,
        90..300,
        5,
        Some(Lathe),
    ),
    trouble(("tool_life", "7090", "4", ""), ("Tool breakage detected", "检测到刀具断裂"), Stops, 240..900, 4, None),
    trouble(("motion_condition", "0506", "3", "HIGH"), ("Over travel: +X", "X轴正向超程"), Stops, 120..420, 2, None),
    trouble(
        ("motion_condition", "0411", "4", "HIGH"),
        ("Servo alarm: excess error, Z axis", "伺服报警：Z轴跟随误差过大"),
        Stops,
        300..1200,
        2,
        None,
    ),
    trouble(
        ("spindle_condition", "9031", "4", "HIGH"),
        ("Spindle motor overload", "主轴电机过载"),
        Stops,
        300..1200,
        2,
        None,
    ),
    trouble(
        ("logic_condition", "2065", "3", ""),
        ("ATC arm not in position", "换刀臂未到位"),
        Stops,
        240..900,
        3,
        Some(Mill3Axis),
    ),
    trouble(
        ("logic_condition", "2068", "3", ""),
        ("Pallet not seated", "托盘未到位"),
        Interrupts,
        180..600,
        4,
        Some(Mill5Axis),
    ),
    trouble(("system_condition", "1001", "5", ""), ("Emergency stop", "急停"), EmergencyStop, 180..900, 2, None),
];
