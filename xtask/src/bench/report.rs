//! What came of it: on the terminal, and in files of `target/bench/`.

use std::{env, fmt::Write as _, fs};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    process::{command, output},
    workspace::Workspace,
};

use super::{
    Bench,
    cases::Case,
    data::{Bound, Outcome, Verdict},
    svg,
    tools::version,
};

/// Where and when.
struct Circumstances {
    date: String,
    commit: String,
    machine: String,
    kernel: String,
    cores: String,
    others: String,
    /// By program.
    versions: Vec<(String, String)>,
}

/// Prints all cases; leaves `results.json`, `rounds.csv`, `targets.md` and `plots/`.
pub(crate) fn write(bench: &Bench, workspace: &Workspace, done: &[(&Case, Outcome)]) -> Result<()> {
    let circumstances = Circumstances::now(bench, workspace)?;
    println!("\n{}", circumstances.shown());
    for (case, outcome) in done {
        println!("\n{}", shown(case, outcome));
    }
    let plots = bench.home.join("plots");
    // Those of another run would stay beside numbers that they do not show.
    if plots.exists() {
        fs::remove_dir_all(&plots).with_context(|| format!("cannot remove {}", plots.display()))?;
    }
    fs::create_dir_all(&plots).with_context(|| format!("cannot make {}", plots.display()))?;
    for (case, outcome) in done {
        if let Some(plot) = svg::plot(case.title, outcome) {
            fs::write(plots.join(case.name).with_extension("svg"), plot)?;
        }
    }
    let files = [
        ("results.json", format!("{:#}\n", document(bench, &circumstances, done))),
        ("rounds.csv", csv(done)),
        ("targets.md", targets(&circumstances, done)),
    ];
    for (name, text) in files {
        let path = bench.home.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("\nresults.json, rounds.csv, targets.md and plots/ are in {}", bench.home.display());
    Ok(())
}

impl Circumstances {
    fn now(bench: &Bench, workspace: &Workspace) -> Result<Self> {
        let git = |arguments: &[&str]| output(command("git").arg("-C").arg(&workspace.root).args(arguments));
        let changes = git(&["status", "--porcelain"])?;
        let dirt = if changes.trim().is_empty() { "" } else { ", with changes" };
        let other = if env::var_os("TOLLGATE_BIN").is_some() { ", the binary of TOLLGATE_BIN" } else { "" };
        let processor = fs::read_to_string("/proc/cpuinfo")?;
        let model = processor
            .lines()
            .find_map(|line| line.strip_prefix("model name"))
            .map_or("unknown", |rest| rest.trim_start_matches(['\t', ' ', ':']));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let cores = &bench.cores;
        let mut versions = vec![("tollgate".to_owned(), version(&bench.tollgate, "--version").unwrap_or_default())];
        versions.extend(bench.tools.versions.iter().cloned());
        Ok(Self {
            date: output(command("date").args(["--utc", "+%Y-%m-%dT%H:%M:%SZ"]))?.trim().to_owned(),
            commit: format!("{}{dirt}{other}", git(&["rev-parse", "--short=12", "HEAD"])?.trim()),
            machine: format!("{model}, {} cores", cores.all.len()),
            kernel: kernel.trim().to_owned(),
            cores: format!(
                "proxy on core {}, origin on {}, load on {}; {}",
                cores.proxy,
                cores.origin,
                cores.load,
                bench.awake.shown()
            ),
            others: bench.others.clone(),
            versions,
        })
    }

    fn shown(&self) -> String {
        let versions: Vec<String> = self.versions.iter().map(|(program, version)| format!("  {program}: {version}")).collect();
        format!(
            "{}, commit {}, {}, Linux {}; {}; load average before {}\n{}",
            self.date,
            self.commit,
            self.machine,
            self.kernel,
            self.cores,
            self.others,
            versions.join("\n")
        )
    }
}

/// A table of medians with what is least and most, targets, and notes.
fn shown(case: &Case, outcome: &Outcome) -> String {
    let measures = outcome.measures();
    let mut rows =
        vec![std::iter::once(String::new()).chain(measures.iter().map(|measure| measure.title().to_owned())).collect()];
    for peer in outcome.peers() {
        let cells = measures.iter().map(|measure| match outcome.spread(peer, *measure) {
            Some(spread) => {
                format!("{} ({}–{})", measure.shown(spread.median), measure.shown(spread.least), measure.shown(spread.most))
            }
            None => "–".to_owned(),
        });
        rows.push(std::iter::once(peer.to_owned()).chain(cells).collect());
    }
    let mut text = format!("{}: {}\n{}", case.name, case.title, aligned(&rows));
    for verdict in &outcome.verdicts {
        let _ = writeln!(text, "  {}", sentence(verdict));
    }
    for note in &outcome.notes {
        let _ = writeln!(text, "  {note}");
    }
    text
}

/// The first column to the left, all others to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate();
        let cells: Vec<String> = cells
            .map(|(column, (cell, width))| if column == 0 { format!("{cell:width$}") } else { format!("{cell:>width$}") })
            .collect();
        let _ = writeln!(text, "  {}", cells.join("  ").trim_end());
    }
    text
}

fn sentence(verdict: &Verdict) -> String {
    let is_met = if verdict.is_met() { "met" } else { "MISSED" };
    format!("{}: {} (target {}): {is_met}", verdict.what, value_of(verdict), target_of(verdict))
}

fn value_of(verdict: &Verdict) -> String {
    with_unit(verdict.value, verdict.unit)
}

fn target_of(verdict: &Verdict) -> String {
    let sign = if verdict.bound == Bound::AtMost { '≤' } else { '≥' };
    format!("{sign} {}", with_unit(verdict.target, verdict.unit))
}

fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        "" if value < 0.1 => format!("{value:.3}"),
        "" => format!("{value:.2}"),
        unit => format!("{value:.1} {unit}"),
    }
}

/// For a README.
fn targets(circumstances: &Circumstances, done: &[(&Case, Outcome)]) -> String {
    let mut text = format!(
        "{}, commit {}, {}, Linux {}.\n\n| | measured | target | |\n|---|---|---|---|\n",
        circumstances.date, circumstances.commit, circumstances.machine, circumstances.kernel
    );
    for (case, outcome) in done {
        for verdict in &outcome.verdicts {
            let is_met = if verdict.is_met() { "met" } else { "missed" };
            let (value, target) = (value_of(verdict), target_of(verdict));
            let _ = writeln!(text, "| {}: {} | {value} | {target} | {is_met} |", case.title, verdict.what);
        }
    }
    text
}

/// A line for each value.
fn csv(done: &[(&Case, Outcome)]) -> String {
    let mut text = String::from("case,peer,round,measure,value\n");
    for (case, outcome) in done {
        for round in &outcome.rounds {
            for (measure, value) in &round.values {
                // Only names of peers have commas.
                let _ = writeln!(text, "{},\"{}\",{},{},{value}", case.name, round.peer, round.number, measure.key());
            }
        }
    }
    text
}

fn document(bench: &Bench, circumstances: &Circumstances, done: &[(&Case, Outcome)]) -> Value {
    let versions: serde_json::Map<String, Value> =
        circumstances.versions.iter().map(|(program, version)| (program.clone(), version.as_str().into())).collect();
    json!({
        "date": circumstances.date,
        "commit": circumstances.commit,
        "machine": circumstances.machine,
        "kernel": circumstances.kernel,
        "cores": circumstances.cores,
        "load_average_before": circumstances.others,
        "versions": versions,
        "rounds": bench.rounds,
        "seconds": bench.seconds,
        "quick": bench.is_quick,
        "cases": done.iter().map(|(case, outcome)| of_case(case, outcome)).collect::<Vec<_>>(),
    })
}

fn of_case(case: &Case, outcome: &Outcome) -> Value {
    let verdicts = outcome.verdicts.iter().map(|verdict| {
        let bound = if verdict.bound == Bound::AtMost { "at most" } else { "at least" };
        json!({"what": verdict.what, "value": verdict.value, "unit": verdict.unit, "bound": bound, "target": verdict.target, "met": verdict.is_met()})
    });
    let rounds = outcome.rounds.iter().map(|round| {
        let values: serde_json::Map<String, Value> =
            round.values.iter().map(|(measure, value)| (measure.key().to_owned(), (*value).into())).collect();
        json!({"peer": round.peer, "round": round.number, "values": values})
    });
    json!({
        "name": case.name,
        "title": case.title,
        "verdicts": verdicts.collect::<Vec<_>>(),
        "notes": outcome.notes,
        "rounds": rounds.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::data::{Measure, Round, Values};

    fn some() -> (Case, Outcome) {
        let round =
            |peer: &str, number, cpu| Round { peer: peer.to_owned(), number, values: Values::from([(Measure::Cpu, cpu)]) };
        let mut outcome =
            Outcome::of(vec![round("a, one", 1, 10.0), round("b", 1, 20.0), round("a, one", 2, 12.0), round("b", 2, 20.0)]);
        outcome.judge("a / b", 0.55, Bound::AtMost, 0.5, "");
        outcome.judge("above", 11.04, Bound::AtMost, 12.0, "µs");
        outcome.note("On one core.");
        (Case { name: "c", title: "a case", run: |_| Ok(Outcome::default()) }, outcome)
    }

    #[test]
    fn tables_tell_medians_and_targets() {
        let (case, outcome) = some();
        assert_eq!(
            shown(&case, &outcome),
            "c: a case\n                CPU µs/req\n  a, one  11.0 (10.0–12.0)\n  b       20.0 (20.0–20.0)\n  \
             a / b: 0.55 (target ≤ 0.50): MISSED\n  above: 11.0 µs (target ≤ 12.0 µs): met\n  On one core.\n"
        );
    }

    #[test]
    fn all_rounds_are_kept() {
        let (case, outcome) = some();
        let value = of_case(&case, &outcome);
        assert_eq!(value["rounds"][2], json!({"peer": "a, one", "round": 2, "values": {"cpu_us_per_request": 12.0}}));
        assert_eq!((&value["verdicts"][0]["met"], &value["verdicts"][1]["met"]), (&json!(false), &json!(true)));
        let text = csv(&[(&case, outcome)]);
        assert_eq!(text.lines().count(), 5);
        assert_eq!(text.lines().nth(1), Some("c,\"a, one\",1,cpu_us_per_request,10"));
    }

    #[test]
    fn small_ratios_are_told_in_full() {
        assert_eq!(
            (with_unit(0.04, ""), with_unit(0.1, ""), with_unit(1.0, "ms")),
            ("0.040".into(), "0.10".into(), "1.0 ms".into())
        );
    }
}
