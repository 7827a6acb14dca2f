//! The answer to each path.

use crate::client::{answer, answers, exchange, get, json, request, started};
use crate::openmetrics::Metrics;
use crate::support::{LIMIT, eventually, idle};
use hosted::{OnFailure, Restart, group, worker};
use std::sync::mpsc::channel;
use std::time::Duration;

const ODD: &str = "odd \"\\ <script>alert(1)</script> &\n\u{202e}é";

#[test]
fn metrics_are_valid_openmetrics_with_every_service_and_its_counts() {
    let mut runs = 0;
    let (mut host, address) = started(|host| {
        host.add(
            ODD,
            worker(move |ctx| {
                ctx.report_error("one");
                runs += 1;
                if runs <= 2 { Err("two".into()) } else { Ok(ctx.sleep(Duration::MAX)?) }
            }),
        )
        .restart(Restart::on_failure().backoff(Duration::ZERO..=Duration::ZERO));
    });
    let metrics = eventually(|| {
        let answer = get(address, "/metrics");
        assert_eq!(
            answer.header("content-type").unwrap(),
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        );
        let metrics = Metrics::parse(&answer.body);
        (metrics.value("hosted_service_errors_total", &[("service", ODD)]) == Some(5.0)).then_some(metrics)
    });
    assert_eq!(metrics.value("hosted_service_restarts_total", &[("service", ODD)]), Some(2.0));
    assert_eq!(metrics.value("hosted_service_restarts_total", &[("service", "status")]), Some(0.0));
    let state =
        |service: &str, state: &str| metrics.value("hosted_service_state", &[("service", service), ("state", state)]);
    assert_eq!((state("status", "running"), state("status", "failed")), (Some(1.0), Some(0.0)));
    assert_eq!((state(ODD, "running"), state(ODD, "hung")), (Some(1.0), Some(0.0)));
    let health = [("service", "status"), ("health", "healthy")];
    assert_eq!(metrics.value("hosted_service_health", &health), Some(1.0));
    assert_eq!(metrics.value("hosted_host_state", &[("state", "started")]), Some(1.0));
    assert_eq!(metrics.value("hosted_host_ready", &[]), Some(1.0));
    assert_eq!(metrics.value("hosted_host_live", &[]), Some(1.0));
    let started = eventually(|| Metrics::parse(&get(address, "/metrics").body).value("hosted_host_start_seconds", &[]));
    assert!(started > 0.0);
    assert_eq!(metrics.value("hosted_host_stop_seconds", &[]), None);
    host.stop(LIMIT).unwrap();
}

#[test]
fn metrics_show_how_long_the_stop_has_taken_until_now() {
    let (release, held) = channel::<()>();
    let (asked, asking) = channel();
    let (mut host, address) = started(|host| {
        host.add(
            "consumer",
            worker(move |ctx| {
                ctx.wait();
                asked.send(())?;
                Ok(held.recv()?)
            }),
        );
    });
    let stopping = std::thread::spawn(move || host.stop(LIMIT).map(|_| ()));
    asking.recv_timeout(LIMIT).unwrap();
    let took = eventually(|| Metrics::parse(&get(address, "/metrics").body).value("hosted_host_stop_seconds", &[]));
    assert!(took >= 0.0);
    release.send(()).unwrap();
    stopping.join().unwrap().unwrap();
}

#[test]
fn status_json_has_the_host_every_service_and_the_events() {
    let (mut host, address) = started(|host| {
        host.add(ODD, worker(|_| Err("no \"data\"".into()))).on_failure(OnFailure::Ignore);
        host.add(
            "feed",
            group(|feed| {
                feed.add("reader", idle());
                Ok(())
            }),
        );
    });
    let status = eventually(|| {
        let status = json(address, "/status.json");
        let events = status["events"].as_array().unwrap();
        let failed = events.iter().any(|event| event["level"] == "ERROR");
        (failed && status["services"][1]["state"] == "failed").then_some(status)
    });
    assert_eq!(
        status["host"],
        serde_json::json!({
            "state": "started", "has_started": true, "is_ready": true, "is_live": true,
        })
    );
    let names: Vec<&str> = status["services"].as_array().unwrap().iter().filter_map(|s| s["name"].as_str()).collect();
    assert_eq!(names, ["status", ODD, "feed", "feed/reader"]);
    let failed = &status["services"][1];
    assert!(failed["last_error"].as_str().unwrap().ends_with("failed while running: no \"data\""), "{failed}");
    assert_eq!(
        (&failed["errors"], &failed["restarts"], &failed["ignores_failure"]),
        (&1.into(), &0.into(), &true.into())
    );
    assert!(failed["since_seconds"].as_f64().unwrap() >= 0.0);
    assert_eq!((&failed["health"], &failed["health_reason"]), (&"healthy".into(), &serde_json::Value::Null));
    let event = status["events"].as_array().unwrap().iter().find(|event| event["level"] == "ERROR").unwrap();
    assert_eq!(event["service"], ODD);
    assert_eq!(status["at"].as_str().unwrap().len(), "2026-01-01T00:00:00.000Z".len());
    host.stop(LIMIT).unwrap();
}

#[test]
fn the_200_latest_events_are_kept_the_newest_first() {
    let (mut host, address) = started(|host| {
        host.add(
            "talker",
            worker(|ctx| {
                (1..=300).for_each(|n| ctx.report_error(format!("number {n}")));
                ctx.wait();
                Ok(())
            }),
        );
    });
    let events = eventually(|| {
        let status = json(address, "/status.json");
        let texts: Vec<String> = status["events"].as_array()?.iter().map(|event| event["text"].to_string()).collect();
        let is_done = texts.iter().any(|text| text.contains("number 300\""));
        is_done.then(|| (texts, status["events"].as_array().unwrap().clone()))
    });
    assert_eq!(events.0.len(), 200);
    let numbers: Vec<u64> = events.1.iter().map(|event| event["number"].as_u64().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] == pair[1] + 1), "{numbers:?}");
    host.stop(LIMIT).unwrap();
}

#[test]
fn what_a_thread_is_blocked_in_is_shown_on_demand() {
    let (mut host, address) = started(|host| {
        host.add("a/b & c", idle());
    });
    assert_eq!(json(address, "/status.json")["services"][1]["blocked_in"], serde_json::Value::Null);
    if cfg!(target_os = "linux") {
        let status = json(address, "/status.json?service=a%2Fb+%26%20c");
        assert!(status["services"][1]["blocked_in"].is_string(), "{status}");
        assert_eq!(status["services"][0]["blocked_in"], serde_json::Value::Null);
        let page = get(address, "/?service=a%2Fb%20%26%20c").body;
        assert!(page.contains("id=\"s-a%2Fb%20%26%20c\" data-name=\"a/b &amp; c\""), "{page}");
        assert!(page.contains(" open><summary"), "{page}");
    }
    host.stop(LIMIT).unwrap();
}

#[test]
fn one_page_inspects_at_most_16_threads() {
    let (mut host, address) = started(|host| {
        (0..20).for_each(|n| _ = host.add(format!("s{n}"), idle()));
    });
    let query: Vec<String> = (0..20).map(|n| format!("service=s{n}")).collect();
    let page = get(address, &format!("/?{}", query.join("&"))).body;
    let left_out = page.matches("not inspected: too many rows are open").count();
    assert_eq!(left_out, 4);
    host.stop(LIMIT).unwrap();
}

// 188
#[test]
fn no_text_of_a_service_is_markup_on_the_page() {
    let (mut host, address) = started(|host| {
        host.add(ODD, worker(|_| Err("<img src=x onerror=alert(2)>".into()))).on_failure(OnFailure::Ignore);
        host.add("api", idle());
    });
    let page = eventually(|| Some(get(address, "/").body).filter(|page| page.contains("onerror")));
    assert!(!page.contains("<script>alert") && !page.contains("<img"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
    assert!(page.contains("\\n\\u{202e}é"), "{page}");
    host.stop(LIMIT).unwrap();
}

// 188
#[test]
fn every_answer_forbids_caching_framing_sniffing_and_foreign_content() {
    let (mut host, address) = started(|_| {});
    for path in ["/", "/livez", "/metrics", "/status.json", "/nothing"] {
        let answer = get(address, path);
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; ") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert!(answer.header("date").unwrap().ends_with(" GMT"));
    }
    let page = get(address, "/").body;
    for foreign in ["src=", "href=\"http", "href=\"//", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    host.stop(LIMIT).unwrap();
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let (mut host, address) = started(|_| {});
    let text = exchange(address, "HEAD /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    assert!(text.contains("\r\nContent-Length: 5\r\n"), "{text}");
    host.stop(LIMIT).unwrap();
}

#[test]
fn an_unknown_path_is_404_and_says_which_paths_there_are() {
    let (mut host, address) = started(|_| {});
    let answer = get(address, "/healthz");
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("/livez"), "{}", answer.body);
    host.stop(LIMIT).unwrap();
}

#[test]
fn a_connection_is_used_for_many_requests() {
    let (mut host, address) = started(|_| {});
    let mut stream = crate::client::connect(address);
    for _ in 0..100 {
        use std::io::{Read, Write};
        stream.write_all(request("/livez", "").as_bytes()).unwrap();
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n\r\nlive\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            text.push(byte[0]);
        }
        assert_eq!(answer(std::str::from_utf8(&text).unwrap()).header("connection"), Some("keep-alive"));
    }
    assert_eq!(answers("").len(), 0);
    drop(stream);
    host.stop(LIMIT).unwrap();
}
