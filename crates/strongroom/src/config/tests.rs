use super::*;

fn mistakes_of(args: &ServerArgs, toml: &str) -> Vec<String> {
    let file = File::parse(toml).expect("the test's file parses");
    match Config::resolve(args, file, false) {
        Ok(_) => Vec::new(),
        Err(Mistakes(list)) => list.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn defaults_listen_on_loopback_only() {
    let config = Config::resolve(&ServerArgs::default(), File::default(), false).unwrap();
    for address in [config.s3_listen, config.api_listen, config.manager_listen] {
        assert!(address.ip().is_loopback());
    }
    assert_eq!(config.tls, Tls::Off);
    assert_eq!(config.unlock, UnlockSource::Generated);
}

#[test]
fn flags_win_over_the_file() {
    let args = ServerArgs { s3_listen: Some("127.0.0.1:1234".into()), ..ServerArgs::default() };
    let file = File::parse("[server]\ns3_listen = \"127.0.0.1:9\"\nregion = \"eu-west-1\"").unwrap();
    let config = Config::resolve(&args, file, false).unwrap();
    assert_eq!(config.s3_listen.port(), 1234);
    assert_eq!(config.region, "eu-west-1");
}

#[test]
fn every_mistake_is_named_with_its_key() {
    let args = ServerArgs { tls_cert: Some("/dev/null".into()), ..ServerArgs::default() };
    let found = mistakes_of(
        &args,
        "[server]\ns3_listen = \"9000\"\ndomains = [\"-x\"]\n[kms]\nprovider = \"vault\"\nfresh_seconds = 60\nkept_seconds = 59\n[monitoring]\nlog_format = \"xml\"",
    );
    for key in ["s3_listen", "tls_key", "domains", "kms.provider", "kms.kept_seconds", "log_format"] {
        assert!(found.iter().any(|text| text.starts_with(key)), "{key} is not in {found:?}");
    }
}

#[test]
fn two_listeners_on_one_port_are_a_mistake_unless_it_is_zero() {
    let args = |port: &str| ServerArgs {
        s3_listen: Some(format!("127.0.0.1:{port}")),
        api_listen: Some(format!("127.0.0.1:{port}")),
        ..ServerArgs::default()
    };
    assert_eq!(mistakes_of(&args("7000"), "").len(), 1);
    assert_eq!(mistakes_of(&args("0"), "").len(), 0);
}

#[test]
fn limits_of_keys_are_checked_against_what_a_key_may_seal() {
    let limits = |toml: &str| {
        let file = File::parse(toml).unwrap();
        Config::resolve(&ServerArgs::default(), file, false).unwrap().key_limits
    };
    let most = KeyLimits::default();
    assert_eq!(limits(""), most);
    let given = limits("[keys]\nrotate_after_days = 90\nrotate_after_seals = 1000\nrotate_after_gib = 2");
    assert_eq!((given.age_seconds, given.seals, given.bytes), (90 * 86_400, 1000, 2 << 30));
    let found = mistakes_of(
        &ServerArgs::default(),
        "[keys]\nrotate_after_days = 40000\nrotate_after_seals = 99999999999\nrotate_after_gib = 0\nreseal_workers = 0",
    );
    for key in ["rotate_after_days", "rotate_after_seals", "rotate_after_gib", "reseal_workers"] {
        assert!(found.iter().any(|text| text.starts_with(&format!("keys.{key}"))), "{key}: {found:?}");
    }
}

#[test]
fn rate_of_the_api_is_read_and_one_that_lets_nothing_through_is_a_mistake() {
    let rate = |toml: &str| {
        let file = File::parse(toml).unwrap();
        Config::resolve(&ServerArgs::default(), file, false).unwrap().api_rate
    };
    assert_eq!(rate(""), RateLimit::default());
    let given = rate("[api]\nconfig_requests_per_second = 5\nconfig_requests_burst = 7");
    assert_eq!(given, RateLimit { per_second: 5, burst: 7 });
    assert_eq!(rate("[api]\nconfig_requests_per_second = 0").per_second, 0);
    let found = mistakes_of(&ServerArgs::default(), "[api]\nconfig_requests_burst = 0");
    assert!(found[0].starts_with("api.config_requests_burst"), "{found:?}");
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    let error = File::parse("[server]\ns3_listn = \"127.0.0.1:1\"").unwrap_err();
    assert!(error.to_string().contains("s3_listn"), "{error}");
}

/// A command line as `server` reads it.
fn args(words: &[&str]) -> ServerArgs {
    use clap::Parser as _;
    let words = ["strongroom", "server"].iter().chain(words);
    match crate::cli::Cli::try_parse_from(words).expect("the test's flags parse").command {
        crate::cli::Command::Server(args) => args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_switch_that_the_file_sets_can_be_unset() {
    let toml = "[server]\ntls_self_signed = true\nsse_c_over_http = true\n[api]\ntokens_over_http = true";
    let switches = |words: &[&str]| {
        let config = Config::resolve(&args(words), File::parse(toml).unwrap(), false).unwrap();
        (config.tls == Tls::SelfSigned, config.sse_c_over_http, config.api_tokens_over_http)
    };
    assert_eq!(switches(&[]), (true, true, true));
    let unset = ["--tls-self-signed=false", "--sse-c-over-http=no", "--api-tokens-over-http=0"];
    assert_eq!(switches(&unset), (false, false, false));
    let config = Config::resolve(&args(&["--tls-self-signed"]), File::default(), false).unwrap();
    assert_eq!(config.tls, Tls::SelfSigned);
    assert!(config.sse_c_in_new_buckets, "applications that bring keys work unchanged");
}

#[test]
fn an_empty_list_of_domains_holds_over_the_files() {
    let toml = "[server]\ndomains = [\"s3.example.com\"]";
    let domains =
        |words: &[&str]| Config::resolve(&args(words), File::parse(toml).unwrap(), false).unwrap().domains;
    assert_eq!(domains(&[]), ["s3.example.com"]);
    assert_eq!(domains(&["--domain=a.example", "--domain=b.example"]), ["a.example", "b.example"]);
    assert!(domains(&["--domain="]).is_empty());
}

#[test]
fn every_flag_has_a_variable_and_both_are_in_the_table() {
    use clap::CommandFactory as _;
    let table = include_str!("../../../../docs/operations/configuration.md");
    let command = crate::cli::Cli::command();
    let server = command.find_subcommand("server").unwrap();
    for flag in server.get_arguments().filter(|flag| flag.get_id() != "help" && flag.get_id() != "version") {
        let (long, variable) = (flag.get_long().unwrap(), flag.get_env().map(|name| name.to_str().unwrap()));
        let variable = variable.unwrap_or_else(|| panic!("--{long} has no variable"));
        assert!(table.contains(&format!("`--{long}")), "--{long} is not in the table");
        assert!(table.contains(&format!("`{variable}`")), "{variable} is not in the table");
    }
}

#[test]
fn every_key_of_the_table_is_one_of_the_file() {
    let table = include_str!("../../../../docs/operations/configuration.md");
    let keys: Vec<_> = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert!(keys.len() > 20, "{keys:?}");
    for key in keys {
        // Of one type or another: a key that is not known is refused as such.
        let error = ["1", "true", "\"1\"", "[]"].map(|value| File::parse(&format!("{key} = {value}")).err());
        assert!(error.iter().any(Option::is_none), "{key}: {error:?}");
    }
}
