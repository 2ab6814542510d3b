//! Temporary driver.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::expect_used)]
use sealock_node::{Context, Local, Probe, facts, gap, request::Secrets, runner, step::StepKind};
use std::collections::BTreeSet;
use std::path::Path;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let host = Local::new();
    match args[1].as_str() {
        "observe" => println!(
            "{}",
            serde_json::to_string_pretty(&facts::observe(&host, Path::new(runner::FOLDER)).unwrap()).unwrap()
        ),
        "respond" => {
            let r = gap::Responder::start(&[args[2].parse().unwrap()]).unwrap();
            println!("{}", serde_json::to_string(r.controls()).unwrap());
            loop {
                std::thread::park();
            }
        }
        "gap" => {
            let controls: gap::Controls = serde_json::from_str(&args[2]).unwrap();
            let extra: Vec<std::net::IpAddr> = args[3..].iter().map(|a| a.parse().unwrap()).collect();
            let report = gap::probe(&gap::GapRequest::usual("n", &extra, controls), &host).unwrap();
            for place in &report.places {
                for p in &place.probes {
                    println!(
                        "{:<40} {:<34} {:<9} {} {}",
                        place.place.to_string(),
                        p.probe.to_string(),
                        p.verdict.to_string(),
                        p.control.as_ref().map_or("-".into(), |c| format!("{}:{}={}", c.address, c.port, c.reached)),
                        p.detail
                    );
                }
            }
        }
        "steps" => {
            let request: sealock_node::RunRequest = serde_json::from_slice(&std::fs::read(&args[2]).unwrap()).unwrap();
            let secrets = Secrets::from_json(args.get(3).map_or(b"{}".as_slice(), |s| s.as_bytes())).unwrap();
            let mut admitted = BTreeSet::new();
            for s in &request.steps {
                match &s.action {
                    StepKind::Component(c) => {
                        admitted.insert(c.artifact.digest.clone());
                    }
                    StepKind::Images(i) => admitted.extend(i.images.iter().map(|i| i.digest.clone())),
                    _ => {}
                }
            }
            let client = request.registry.as_ref().map(|r| sealock_node::pull::Client::new(r).unwrap());
            let context = Context {
                registry: client.as_ref(),
                admitted: &admitted,
                secrets: &secrets,
                progress: &|m| println!("    .. {m}"),
            };
            for step in &request.steps {
                let t = std::time::Instant::now();
                let probe = step.probe(&host, &context);
                println!(
                    "{:<24} {step}: {}",
                    step.id,
                    probe.as_ref().map_or_else(|e| format!("PROBE ERROR {e:?}"), Probe::to_string)
                );
                let Ok(Probe::NotDone { .. }) = probe else {
                    if matches!(probe, Ok(Probe::Done)) { continue } else { std::process::exit(1) }
                };
                if let Err(e) = step.apply(&host, &context).and_then(|()| step.verify(&host, &context)) {
                    println!("  FAILED {e} {e:?}");
                    std::process::exit(1);
                }
                println!("  ok {:?}", t.elapsed());
            }
        }
        _ => {}
    }
}
