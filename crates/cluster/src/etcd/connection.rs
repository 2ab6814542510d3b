//! One connection to one endpoint.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prost::bytes::Bytes;
use serde::Serialize;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{self, Certificate, Channel, ClientTlsConfig, Identity};
use tonic::{Request, Status as GrpcStatus, Streaming};
use tonic_prost::ProstCodec;
use zeroize::Zeroizing;

use super::connector::Connector;
use super::endpoint::Endpoint;
use super::error::{CallError, EtcdError};
use super::member::{Alarm, AlarmKind, MemberId, Membership};
use super::proto;

const CONNECT: Duration = Duration::from_secs(3);
/// A member under load answers late; one that takes longer is as good as down.
const ANSWER: Duration = Duration::from_secs(8);
/// Hashing and defragmenting read all of the database, which has 8 GiB at most.
const LONG: Duration = Duration::from_secs(300);
/// The largest honest answer: a value has 1.5 MiB at most, a chunk of a snapshot less.
const LARGEST: usize = 8 << 20;

/// Who we are, and whom we believe: PEM.
#[derive(Clone)]
pub struct Credentials {
    /// The certificates, of which one must have issued the members'.
    pub ca: String,
    /// Our certificate.
    pub certificate: String,
    /// Its key.
    pub key: Zeroizing<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// What a member says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The cluster it belongs to.
    pub cluster: MemberId,
    /// Who it is.
    pub member: MemberId,
    /// The newest revision that it holds.
    pub revision: i64,
    /// Like `3.6.8`.
    pub version: String,
    /// Bytes of the database's file.
    pub db_size: i64,
    /// Bytes of it that hold something.
    pub db_in_use: i64,
    /// Bytes that it may grow to; 0 where the member does not say (before 3.6).
    pub db_quota: i64,
    /// Whom it follows; none where it knows of no leader.
    pub leader: Option<MemberId>,
    /// The newest entry of the log that it knows to be committed.
    pub raft_index: u64,
    /// The newest entry that it has applied.
    pub raft_applied: u64,
    /// The election that its leader won.
    pub raft_term: u64,
    /// It has no vote.
    pub learner: bool,
    /// The minor version that the cluster is going back to, like `3.5.0`; none where it is not, or the member does not say (before 3.6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downgrade: Option<String>,
}

/// Whether a member serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// A read that needs the whole cluster was answered.
    Serves,
    /// It answers, but not such a read.
    Unwell(String),
}

/// How many keys there are, and at which revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct KeyCount {
    /// Keys.
    pub keys: i64,
    /// Where they were counted.
    pub revision: i64,
}

/// A key and what stands there.
pub struct Pair {
    /// The key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pair({}, {} bytes)", String::from_utf8_lossy(&self.key), self.value.len())
    }
}

/// One connection to one endpoint. It is made at the first call, and again when it was lost.
#[derive(Clone, Debug)]
pub struct Connection {
    endpoint: Endpoint,
    way: transport::Endpoint,
    /// Made at the first call: it belongs to the runtime that the call is made in.
    channel: Arc<OnceLock<Channel>>,
}

impl Connection {
    /// Prepares a connection; nothing is sent yet.
    ///
    /// # Errors
    /// Certificates or key are none.
    pub fn new(endpoint: &Endpoint, credentials: Option<&Credentials>) -> Result<Self, EtcdError> {
        let failed = |source| EtcdError::Credentials { endpoint: endpoint.clone(), source };
        let mut channel = Channel::from_shared(endpoint.text.clone())
            .map_err(|_| EtcdError::Endpoint { text: endpoint.text.clone(), problem: "it is not a URL" })?
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(10));
        if endpoint.is_tls() {
            let mut tls = ClientTlsConfig::new();
            if let Some(credentials) = credentials {
                let identity = Identity::from_pem(&credentials.certificate, credentials.key.as_bytes());
                tls = tls.ca_certificate(Certificate::from_pem(&credentials.ca)).identity(identity);
            }
            channel = channel.tls_config(tls).map_err(failed)?;
        }
        Ok(Self { endpoint: endpoint.clone(), way: channel, channel: Arc::default() })
    }

    /// Where it goes.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What the member says of itself. Answered without the other members.
    ///
    /// # Errors
    /// No answer.
    pub async fn status(&self) -> Result<Status, CallError> {
        const CALL: &str = "status";
        let answer: proto::StatusResponse =
            self.unary(CALL, "/etcdserverpb.Maintenance/Status", proto::Empty {}, ANSWER).await?;
        let header = self.header(CALL, answer.header)?;
        Ok(Status {
            cluster: MemberId(header.cluster_id),
            member: MemberId(header.member_id),
            revision: header.revision,
            version: plain(&answer.version),
            db_size: answer.db_size,
            db_in_use: answer.db_size_in_use,
            db_quota: answer.db_size_quota,
            leader: Some(answer.leader).filter(|leader| *leader != 0).map(MemberId),
            raft_index: answer.raft_index,
            raft_applied: answer.raft_applied_index,
            raft_term: answer.raft_term,
            learner: answer.is_learner,
            downgrade: answer.downgrade_info.filter(|info| info.enabled).map(|info| plain(&info.target_version)),
        })
    }

    /// The membership: linearizable as the cluster has agreed on it, else as this member knows it.
    ///
    /// # Errors
    /// No answer; a linearizable one needs quorum.
    pub async fn members(&self, linearizable: bool) -> Result<Membership, CallError> {
        const CALL: &str = "listing the members";
        let request = proto::MemberListRequest { linearizable };
        let answer: proto::MemberListResponse =
            self.unary(CALL, "/etcdserverpb.Cluster/MemberList", request, ANSWER).await?;
        let header = self.header(CALL, answer.header)?;
        Ok(Membership::new(header.cluster_id, answer.members))
    }

    /// Whether a read that needs the whole cluster is answered here.
    pub async fn health(&self) -> Health {
        match self.range(b"health", b"", false).await {
            Ok(_) => Health::Serves,
            // Said behind the wait for a majority, to a client that may not read this key.
            Err(error) if error.is_denied() => Health::Serves,
            Err(error) => Health::Unwell(error.said),
        }
    }

    /// Counts all keys.
    ///
    /// # Errors
    /// No answer.
    pub async fn count_keys(&self) -> Result<KeyCount, CallError> {
        const ALL: &[u8] = b"\0";
        let answer = self.range(ALL, ALL, true).await?;
        let header = self.header("counting keys", answer.header)?;
        Ok(KeyCount { keys: answer.count, revision: header.revision })
    }

    /// The value of `key`, linearizable.
    ///
    /// # Errors
    /// No answer.
    pub async fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, CallError> {
        Ok(self.range(key, b"", false).await?.kvs.pop().map(|pair| pair.value))
    }

    /// How many keys begin with `prefix`.
    ///
    /// # Errors
    /// No answer.
    pub async fn count_below(&self, prefix: &[u8]) -> Result<i64, CallError> {
        let end = behind(prefix);
        Ok(self.range(prefix, &end, true).await?.count)
    }

    /// At most `limit` keys that begin with `prefix`, with their values, in their order: those behind the key `after`, or the first ones; and
    /// whether there are more.
    ///
    /// # Errors
    /// No answer.
    pub async fn page_below(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: i64,
    ) -> Result<(Vec<Pair>, bool), CallError> {
        // No key lies between one and the same with a zero byte behind it.
        let key = after.map_or_else(|| prefix.to_vec(), |after| [after, b"\0"].concat());
        let request = proto::RangeRequest { key, range_end: behind(prefix), limit, ..proto::RangeRequest::default() };
        let answer: proto::RangeResponse = self.unary("reading", "/etcdserverpb.KV/Range", request, ANSWER).await?;
        let pairs = answer.kvs.into_iter().map(|pair| Pair { key: pair.key, value: pair.value.into() });
        Ok((pairs.collect(), answer.more))
    }

    async fn range(&self, key: &[u8], end: &[u8], count_only: bool) -> Result<proto::RangeResponse, CallError> {
        let (key, range_end) = (key.to_vec(), end.to_vec());
        let request = proto::RangeRequest { key, range_end, count_only, ..proto::RangeRequest::default() };
        self.unary("reading", "/etcdserverpb.KV/Range", request, ANSWER).await
    }

    /// Puts `value` under `key` if the key's newest revision is `revision`, 0 for a key that is not there. Answers whether it was.
    ///
    /// # Errors
    /// No answer, or the cluster does not write.
    pub async fn put_if(&self, key: &[u8], value: &[u8], revision: i64) -> Result<bool, CallError> {
        let compare = proto::Compare {
            result: proto::CompareResult::Equal.into(),
            target: proto::CompareTarget::Mod.into(),
            key: key.to_vec(),
            target_union: Some(proto::compare::TargetUnion::ModRevision(revision)),
        };
        let put = proto::PutRequest { key: key.to_vec(), value: value.to_vec() };
        let put = proto::RequestOp { request: Some(proto::request_op::Request::Put(put)) };
        let request = proto::TxnRequest { compare: vec![compare], success: vec![put], failure: Vec::new() };
        let answer: proto::TxnResponse = self.unary("writing", "/etcdserverpb.KV/Txn", request, ANSWER).await?;
        Ok(answer.succeeded)
    }

    /// The alarms of all members.
    ///
    /// # Errors
    /// No answer.
    pub async fn alarms(&self) -> Result<Vec<Alarm>, CallError> {
        self.alarm(proto::AlarmAction::Get, 0, proto::AlarmType::None.into()).await
    }

    pub(super) async fn disarm(&self, alarm: Alarm) -> Result<Vec<Alarm>, CallError> {
        let kind = match alarm.kind {
            AlarmKind::NoSpace => proto::AlarmType::Nospace,
            AlarmKind::Corrupt => proto::AlarmType::Corrupt,
            AlarmKind::Other => proto::AlarmType::None,
        };
        self.alarm(proto::AlarmAction::Deactivate, alarm.member.0, kind.into()).await
    }

    async fn alarm(&self, action: proto::AlarmAction, member: u64, alarm: i32) -> Result<Vec<Alarm>, CallError> {
        let request = proto::AlarmRequest { action: action.into(), member_id: member, alarm };
        let answer: proto::AlarmResponse =
            self.unary("alarms", "/etcdserverpb.Maintenance/Alarm", request, ANSWER).await?;
        let read =
            |alarm: &proto::AlarmMember| Alarm { member: MemberId(alarm.member_id), kind: AlarmKind::of(alarm.alarm) };
        let mut alarms: Vec<Alarm> = answer.alarms.iter().map(read).collect();
        alarms.sort_unstable();
        Ok(alarms)
    }

    pub(super) async fn add_learner(&self, peer_url: &str) -> Result<(), CallError> {
        let request = proto::MemberAddRequest { peer_urls: vec![peer_url.to_owned()], is_learner: true };
        self.change("adding the member", "/etcdserverpb.Cluster/MemberAdd", request).await
    }

    pub(super) async fn promote(&self, id: MemberId) -> Result<(), CallError> {
        let request = proto::MemberIdRequest { id: id.0 };
        self.change("promoting the learner", "/etcdserverpb.Cluster/MemberPromote", request).await
    }

    pub(super) async fn remove(&self, id: MemberId) -> Result<(), CallError> {
        let request = proto::MemberIdRequest { id: id.0 };
        self.change("removing the member", "/etcdserverpb.Cluster/MemberRemove", request).await
    }

    pub(super) async fn update(&self, id: MemberId, peer_urls: &[String]) -> Result<(), CallError> {
        let request = proto::MemberUpdateRequest { id: id.0, peer_urls: peer_urls.to_vec() };
        self.change("updating the member", "/etcdserverpb.Cluster/MemberUpdate", request).await
    }

    pub(super) async fn move_leader(&self, to: MemberId) -> Result<(), CallError> {
        let request = proto::MoveLeaderRequest { target_id: to.0 };
        self.change("moving the leader", "/etcdserverpb.Maintenance/MoveLeader", request).await
    }

    pub(super) async fn downgrade(&self, action: proto::DowngradeAction, version: &str) -> Result<(), CallError> {
        let request = proto::DowngradeRequest { action: action.into(), version: version.to_owned() };
        self.change("the downgrade", "/etcdserverpb.Maintenance/Downgrade", request).await
    }

    pub(super) async fn defragment(&self) -> Result<(), CallError> {
        let path = "/etcdserverpb.Maintenance/Defragment";
        self.unary::<_, proto::HeaderResponse>("defragmenting", path, proto::Empty {}, LONG).await.map(drop)
    }

    /// The hash of all that this member holds up to `revision`, 0 for the newest, and the revision below which history is compacted.
    ///
    /// # Errors
    /// No answer.
    pub async fn hash(&self, revision: i64) -> Result<(u32, i64), CallError> {
        let request = proto::HashKvRequest { revision };
        let answer: proto::HashKvResponse =
            self.unary("hashing", "/etcdserverpb.Maintenance/HashKV", request, LONG).await?;
        Ok((answer.hash, answer.compact_revision))
    }

    /// Begins to stream a snapshot.
    pub(super) async fn snapshot(&self) -> Result<Chunks, CallError> {
        const CALL: &str = "the snapshot";
        let begin = async {
            let mut grpc = self.ready().await?;
            let path = PathAndQuery::from_static("/etcdserverpb.Maintenance/Snapshot");
            let codec = ProstCodec::<proto::Empty, proto::SnapshotResponse>::default();
            grpc.server_streaming(Request::new(proto::Empty {}), path, codec).await
        };
        let stream = self.within(CALL, ANSWER, begin).await?.into_inner();
        Ok(Chunks { connection: self.clone(), stream, call: CALL })
    }

    /// A change of which only an error says anything; what happened is for the caller to read.
    async fn change<Q: prost::Message + 'static>(
        &self,
        call: &'static str,
        path: &'static str,
        request: Q,
    ) -> Result<(), CallError> {
        self.unary::<_, proto::HeaderResponse>(call, path, request, ANSWER).await.map(drop)
    }

    async fn unary<Q, A>(
        &self,
        call: &'static str,
        path: &'static str,
        request: Q,
        deadline: Duration,
    ) -> Result<A, CallError>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let mut request = Request::new(request);
        // etcd gives up by itself then, and does not go on for a caller who has gone.
        request.set_timeout(deadline);
        let answer = async {
            let mut grpc = self.ready().await?;
            grpc.unary(request, PathAndQuery::from_static(path), ProstCodec::<Q, A>::default()).await
        };
        Ok(self.within(call, deadline, answer).await?.into_inner())
    }

    async fn ready(&self) -> Result<Grpc<Channel>, GrpcStatus> {
        let channel = self.channel.get_or_init(|| self.way.connect_with_connector_lazy(Connector));
        let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(LARGEST);
        grpc.ready().await.map_err(|error| GrpcStatus::from_error(Box::new(error)))?;
        Ok(grpc)
    }

    async fn within<T>(
        &self,
        call: &'static str,
        deadline: Duration,
        answer: impl Future<Output = Result<T, GrpcStatus>>,
    ) -> Result<T, CallError> {
        match tokio::time::timeout(deadline, answer).await {
            Ok(answer) => answer.map_err(|status| CallError::new(&self.endpoint, call, &status)),
            Err(_) => Err(CallError::late(&self.endpoint, call, deadline.as_secs())),
        }
    }

    fn header(
        &self,
        call: &'static str,
        header: Option<proto::ResponseHeader>,
    ) -> Result<proto::ResponseHeader, CallError> {
        header.ok_or_else(|| CallError::malformed(&self.endpoint, call, "the answer has no header"))
    }
}

/// A version as a member says it, fit to be shown.
fn plain(version: &str) -> String {
    version.chars().filter(|character| !character.is_control()).take(64).collect()
}

/// The end of the range of all keys that begin with `prefix`, as etcd wants it.
fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

/// A snapshot on its way.
#[derive(Debug)]
pub(super) struct Chunks {
    connection: Connection,
    stream: Streaming<proto::SnapshotResponse>,
    call: &'static str,
}

/// A piece of a snapshot.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    /// What is still to come, by the member's word.
    pub(super) remaining: u64,
    pub(super) version: String,
}

impl Chunks {
    /// The next piece; none at the end. A member that says nothing for as long as an answer may take has gone.
    pub(super) async fn next(&mut self) -> Result<Option<Chunk>, CallError> {
        const IDLE: Duration = Duration::from_secs(30);
        let message = self.connection.within(self.call, IDLE, self.stream.message()).await?;
        Ok(message.map(|message| Chunk {
            bytes: message.blob,
            remaining: message.remaining_bytes,
            version: message.version,
        }))
    }
}
