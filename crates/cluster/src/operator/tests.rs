//! What the operator keeps of plans, and what it refuses, without any host.

use jiff::Timestamp;
use sealock_node::Step;
use sealock_node::step::{Image, Images, MemberAside};
use sealock_store::release::{Cause, FORMAT, Release};

use super::*;
use crate::inventory::Binding;
use crate::plan::{PlannedHost, Task};
use crate::revoked::Fact;

fn release() -> Published {
    let release = Release {
        format: FORMAT.into(),
        number: 1,
        previous: None,
        cause: Cause::Import { stream: "base".into(), sequence: 1 },
        issued: Timestamp::UNIX_EPOCH,
        streams: Vec::new(),
        references: Vec::new(),
        trust_generation: None,
        exceptions: BTreeMap::new(),
        annotations: BTreeMap::new(),
    };
    Published { release, digest: Digest::sha256(b"release 1") }
}

/// A plan for one image on a host that nobody is connected to.
fn plan(image: &Digest) -> Plan {
    let images = vec![Image { name: "quay.io/team/app:v1".into(), digest: image.clone() }];
    let task = Task {
        id: "cp1/prepare".into(),
        host: "cp1".into(),
        after: Vec::new(),
        secrets: Vec::new(),
        steps: vec![Step::new("images", Images { images })],
    };
    Plan { tasks: vec![task], ..plan::example() }
}

/// A station with one release, and no host.
struct Station {
    folder: tempfile::TempDir,
    store: Store,
    release: Published,
    site: SiteRoot,
}

impl Station {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::init(&folder.path().join("store")).unwrap();
        let site = crate::site_of_tests::keys().root().clone();
        Self { folder, store, release: release(), site }
    }

    fn operator(&self) -> Operator<'_> {
        Operator {
            store: &self.store,
            release: &self.release,
            revoked: Revoked::default(),
            trust_mirror: None,
            site: &self.site,
            binary: Binary::read(Path::new("/proc/self/exe"), "0.1.0").unwrap(),
            ssh: SshSettings::new(self.folder.path().to_owned()),
            folder: self.folder.path().join("plant-7"),
        }
    }
}

/// Writes `plan` down as begun. As long as what comes back is held, somebody carries it out.
fn begin(operator: &Operator<'_>, plan: &Plan) -> (Digest, Journal) {
    let digest = plan.digest().unwrap();
    files::save(&operator.plan_path(&digest), &operator.encode(plan).unwrap()).unwrap();
    let mut journal = Journal::open(&operator.folder.join("journal"), &digest).unwrap();
    journal.begun(1).unwrap();
    (digest, journal)
}

fn planned(plan: Plan) -> Planned {
    Planned {
        plan,
        inventory: Inventory::default(),
        assessment: Assessment::default(),
        resumed: false,
        behind: Vec::new(),
        alarms: Vec::new(),
        passed_over: Vec::new(),
        remarks: Vec::new(),
        connections: Vec::new(),
        held: Arc::default(),
    }
}

#[test]
fn what_goes_from_host_to_host_stays_open_while_one_of_them_leaves() {
    let station = Station::new();
    let operator = station.operator();
    let of = |purpose| Plan { purpose, ..plan::example() };
    for (purpose, stays) in [
        (Purpose::Authorities, true),
        (Purpose::Upgrade, true),
        (Purpose::Components, true),
        (Purpose::OsPackages, true),
        (Purpose::Member, true),
        (Purpose::Renew, false),
        (Purpose::Apply, false),
    ] {
        for other in [Purpose::Remove, Purpose::Neighbours, Purpose::Rescue, Purpose::Restore] {
            let begun = of(purpose);
            drop(begin(&operator, &begun));
            assert_eq!(operator.open_plans().unwrap(), [begun]);
            operator.supersede_all_but(&of(other)).unwrap();
            let left = operator.open_plans().unwrap().len();
            let wanted = usize::from(stays && other != Purpose::Restore);
            assert_eq!(left, wanted, "{} while {}", purpose.as_str(), other.as_str());
            fs::remove_dir_all(&operator.folder).unwrap();
        }
    }
}

/// Else a host on which it was cut off would never be started anew.
#[test]
fn what_lays_certificates_down_stays_open_while_others_are_asked_for() {
    let station = Station::new();
    let operator = station.operator();
    let of = |purpose| Plan { purpose, ..plan::example() };
    for (purpose, stays) in [
        (Purpose::Renew, true),
        (Purpose::Rescue, true),
        (Purpose::Restore, true),
        (Purpose::Authorities, true),
        (Purpose::Apply, false),
        (Purpose::Prepare, false),
    ] {
        drop(begin(&operator, &of(purpose)));
        operator.supersede_all_but(&of(Purpose::Requests)).unwrap();
        assert_eq!(operator.open_plans().unwrap().len(), usize::from(stays), "{}", purpose.as_str());
        fs::remove_dir_all(&operator.folder).unwrap();
    }
}

/// A plan that brings the member on cp2 back.
fn way_back() -> Plan {
    let aside = MemberAside { path: "/var/lib/etcd".into(), name: "etcd.2026-11-26T06-48-02Z".into() };
    let rejoin = Task {
        id: "cp2/rejoin".into(),
        host: "cp2".into(),
        after: Vec::new(),
        secrets: Vec::new(),
        steps: vec![Step::new("etcd/aside", aside)],
    };
    Plan { purpose: Purpose::Member, tasks: vec![rejoin], ..plan::example() }
}

/// Its host gone for good, a member does not come back, and nothing waits for it any more.
#[test]
fn the_way_back_of_a_member_ends_where_its_host_leaves() {
    let station = Station::new();
    let operator = station.operator();
    drop(begin(&operator, &way_back()));
    let open = operator.check_nothing_open().unwrap_err();
    assert!(open.to_string().contains("the member of etcd on host cp2"), "{open}");
    assert!(open.hint().unwrap().contains("cluster remove cp2 --lost") && !open.is_refusal());
    operator.check_nothing_else_open(None).unwrap();

    let host = |name: &str| PlannedHost {
        name: name.into(),
        address: String::new(),
        roles: Vec::new(),
        pods: String::new(),
        binding: Binding {
            machine_id: String::new(),
            architecture: String::new(),
            cluster: None,
            joined: true,
            components: BTreeMap::new(),
            owned: BTreeMap::new(),
            foreign: BTreeMap::new(),
        },
    };
    let neighbours = |names: &[&str]| Plan {
        purpose: Purpose::Neighbours,
        hosts: names.iter().map(|name| host(name)).collect(),
        ..plan::example()
    };
    operator.supersede_all_but(&neighbours(&["cp1", "cp2", "cp3"])).unwrap();
    operator.check_nothing_open().unwrap_err();
    operator.supersede_all_but(&neighbours(&["cp1", "cp3"])).unwrap();
    operator.check_nothing_open().unwrap();
}

/// Else whatever comes next would ask for it to be finished, and there is nothing to do.
#[test]
fn the_way_back_of_a_member_that_is_well_is_ended() {
    let station = Station::new();
    let operator = station.operator();
    let carried_out = begin(&operator, &way_back());
    operator.close_member("cp2").unwrap_err();
    drop(carried_out);
    assert!(!operator.close_member("cp1").unwrap(), "that is another one's");
    operator.check_nothing_open().unwrap_err();
    assert!(operator.close_member("cp2").unwrap());
    operator.check_nothing_open().unwrap();
    assert!(!operator.close_member("cp2").unwrap());
}

#[test]
fn no_part_of_a_plan_takes_the_place_of_a_whole_one() {
    let station = Station::new();
    let operator = station.operator();
    let part = || planned(plan(&Digest::sha256(b"an image")));
    let only = operator.only(Phase::Prepare, part()).unwrap();
    assert_eq!((only.plan.purpose, only.plan.tasks.len()), (Purpose::Prepare, 1));
    drop(begin(&operator, &only.plan));
    operator.only(Phase::Prepare, part()).unwrap();
    drop(begin(&operator, &part().plan));
    let refused = operator.only(Phase::Prepare, part()).unwrap_err();
    assert!(refused.to_string().contains("a whole plan was begun"), "{refused}");
    assert!(refused.hint().unwrap().contains("without `--phase`"));
}

#[tokio::test]
async fn a26_what_came_to_be_known_since_planning_stops_the_apply_before_anything_is_done() {
    let station = Station::new();
    let image = Digest::sha256(b"an image");
    let (name, reason) = ("quay.io/team/app:v1".to_owned(), "it calls home".to_owned());
    let fact = Fact { name, reference: image.clone(), digest: image.clone(), reason, blocked: true };
    let operator = Operator { revoked: [fact].into_iter().collect(), ..station.operator() };
    let planned = planned(plan(&image));
    let refused = operator.apply(&planned, &|_| {}).await.unwrap_err();
    assert_eq!(refused.code().unwrap().as_str(), "REVOKED");
    assert!(refused.to_string().contains("cp1/prepare images"), "{refused}");
    assert!(!operator.folder.exists(), "nothing was begun");
}

/// Cut off between the last step and what is written down of it here, a plan is not through.
#[tokio::test]
async fn a_plan_is_open_until_all_that_is_kept_of_it_is_kept() {
    let station = Station::new();
    let operator = station.operator();
    let journals = operator.folder.join("journal");
    let begun = |purpose| {
        let plan = Plan { purpose, tasks: Vec::new(), ..plan::example() };
        let (digest, _) = begin(&operator, &plan);
        (planned(plan), digest)
    };
    let (done, digest) = begun(Purpose::Components);
    // Nobody is connected whose kubeconfig could be fetched.
    operator.apply(&done, &|_| {}).await.unwrap_err();
    assert_eq!(operator.applied().unwrap().as_ref(), Some(&done.plan));
    assert_eq!(operator.open_plans().unwrap(), [done.plan], "what is to be done again is found again");

    let (done, digest_of_reset) = begun(Purpose::Reset);
    operator.apply(&done, &|_| {}).await.unwrap();
    // Said again, it goes by what was given back: hosts that were taken over have a Kubernetes of others by now.
    assert_eq!(operator.begun_or_given_back().unwrap().as_ref(), Some(&done.plan));
    assert_eq!(operator.applied().unwrap(), None);
    assert!(!journal::is_open(&journals, &digest_of_reset).unwrap());
    assert!(journal::is_open(&journals, &digest).unwrap() && operator.open_plans().unwrap().is_empty());
}
