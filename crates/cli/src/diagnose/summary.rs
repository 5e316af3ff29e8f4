//! The figures of a back-test in a few lines, for people.

use std::io::{self, Write};

use server::backtest::{Figures, Report, Scores};

pub(super) fn write(report: &Report, output: &mut impl Write) -> io::Result<()> {
    for figures in report.rules.iter().filter(|figures| figures.alarms > 0 || missed(figures) > 0) {
        line(figures, output)?;
    }
    if report.labels.is_some() {
        line(&report.all, output)?;
    }
    let (cost, rules) = (&report.cost, report.rules.len());
    let (rows, late, too_late, raised) = (cost.rows, cost.late, cost.too_late, report.all.alarms);
    writeln!(output, "{rows} rows, {late} of them late, {too_late} too late; {raised} alarms by {rules} rules")?;
    let speed = cost.rule_rows_per_cpu_sec.map_or_else(|| "–".to_owned(), |speed| format!("{speed:.0}"));
    writeln!(
        output,
        "{:.2} CPU s for the rules, which is {speed} rows × rules per CPU s, {:.2} CPU s to read; {} bytes remembered",
        cost.rules_cpu_secs, cost.reading_cpu_secs, cost.state_bytes
    )
}

fn missed(figures: &Figures) -> usize {
    figures.scores.as_ref().map_or(0, |scores| scores.missed)
}

fn line(figures: &Figures, output: &mut impl Write) -> io::Result<()> {
    let name = figures.rule.as_deref().unwrap_or("all rules together");
    write!(output, "{name}: {} alarms of {} of {} assets", figures.alarms, figures.assets, figures.assets_heard)?;
    if let Some(scores) = &figures.scores {
        against_labels(scores, output)?;
    }
    writeln!(output)
}

fn against_labels(scores: &Scores, output: &mut impl Write) -> io::Result<()> {
    let Scores { true_alarms, false_alarms, found, missed, .. } = scores;
    write!(output, ", {true_alarms} true and {false_alarms} false; {found} labels found, {missed} missed")?;
    write!(output, "; precision {}, recall {}", percent(scores.precision), percent(scores.recall))?;
    if let (Some(median), Some(most)) = (scores.delay_secs_median, scores.delay_secs_max) {
        write!(output, "; after {median:.0} s, {most:.0} s at most")?;
    }
    if let Some(often) = scores.false_alarms_per_1000_asset_days {
        write!(output, "; {often:.1} false alarms in 1,000 asset-days")?;
    }
    if let Some(rates) = &scores.at_base_rate {
        write!(output, "; precision {} where a share of {} has the fault", percent(rates.precision), rates.base_rate)?;
    }
    Ok(())
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", share * 100.0))
}
