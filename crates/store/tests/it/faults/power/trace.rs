//! What `strace -f -xx` wrote, call by call.

/// One system call that came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// As they are printed, separated at the top level.
    pub(crate) arguments: Vec<String>,
    /// What it answered; below 0 where it failed.
    pub(crate) result: i64,
    /// The line in which it began, and the one in which it ended: what lies between went on at the same time.
    pub(crate) begun: usize,
    pub(crate) ended: usize,
}

/// Every call, in the order in which they ended.
pub(crate) fn calls(trace: &str) -> Vec<Call> {
    let mut open: std::collections::HashMap<&str, (usize, String)> = std::collections::HashMap::new();
    let mut calls = Vec::new();
    for (number, line) in trace.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(begin) = rest.strip_suffix("<unfinished ...>") {
            open.insert(thread, (number, begin.trim_end().to_owned()));
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let (begun, begin) = open.remove(thread).unwrap_or_else(|| panic!("nothing to resume: {line}"));
            let (_, end) = resumed.split_once(" resumed>").unwrap_or_else(|| panic!("{line}"));
            calls.extend(call(&format!("{begin}{end}"), begun, number));
        } else {
            calls.extend(call(rest, number, number));
        }
    }
    calls
}

/// `name(argument, argument) = result`; signals and ends of processes are none.
fn call(text: &str, begun: usize, ended: usize) -> Option<Call> {
    let (left, result) = text.rsplit_once(" = ")?;
    let (name, arguments) = left.trim_end().strip_suffix(')')?.split_once('(')?;
    let result = result.split(' ').next().unwrap_or_default();
    let result = match result.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => result.parse().ok(),
    };
    Some(Call { name: name.to_owned(), arguments: split(arguments), result: result?, begun, ended })
}

/// Strings are hexadecimal, so that no comma and no bracket is in them.
fn split(arguments: &str) -> Vec<String> {
    let (mut parts, mut part, mut depth) = (Vec::new(), String::new(), 0);
    for letter in arguments.chars() {
        match letter {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(std::mem::take(&mut part).trim().to_owned());
                continue;
            }
            _ => {}
        }
        part.push(letter);
    }
    parts.push(part.trim().to_owned());
    parts
}

/// The bytes of every string in an argument, one after another.
pub(crate) fn bytes(argument: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for string in argument.split('"').skip(1).step_by(2) {
        let digits = string.split("\\x").skip(1);
        bytes.extend(digits.map(|digits| u8::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{string}"))));
    }
    assert!(!argument.ends_with("..."), "strace has cut off a string");
    bytes
}

#[test]
fn calls_that_overlap_are_put_together() {
    let trace = "7 openat(AT_FDCWD, \"\\x2f\\x61\", O_RDWR|O_CREAT, 0600)   = 3\n\
                 7 fsync(3 <unfinished ...>\n\
                 10 writev(4, [{iov_base=\"\\x01\", iov_len=1}, {iov_base=\"\\x02\", iov_len=1}], 2) = 2\n\
                 7 <... fsync resumed>)              = -1 EIO (Input/output error) (INJECTED)\n\
                 10 --- SIGCHLD ---\n10 +++ exited with 0 +++\n10 fcntl(4, F_GETFD) = 0x1 (flags FD_CLOEXEC)\n";
    let calls = calls(trace);
    let seen: Vec<_> = calls.iter().map(|call| (call.name.as_str(), call.result, call.begun, call.ended)).collect();
    assert_eq!(seen, [("openat", 3, 0, 0), ("writev", 2, 2, 2), ("fsync", -1, 1, 3), ("fcntl", 1, 6, 6)]);
    assert_eq!(bytes(&calls[0].arguments[1]), b"/a");
    assert_eq!(bytes(&calls[1].arguments[1]), [1, 2]);
}
