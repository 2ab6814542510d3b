//! Why a request is not taken, and why what was signed for it is of no use.

use jiff::Timestamp;

use super::request::MOST;

/// Why a request is not taken, or a certificate that was signed for it is of no use. What comes from a host, or from whoever signs, does
/// nothing to a terminal.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// Larger than any request of kubeadm.
    #[error("it has more than {MOST} bytes")]
    TooLarge,
    /// It is none.
    #[error("it is no request for a certificate (PKCS #10), or not one alone (PEM)")]
    Unreadable,
    /// Whoever made it does not have its key.
    #[error("its own signature does not hold: whoever made it does not have the key to it")]
    Signature,
    /// Signed in a way that kubeadm does not sign in.
    #[error("it is signed with {0}, and kubeadm signs with RSA or ECDSA over SHA-256, SHA-384 or SHA-512")]
    SignedWith(String),
    /// Another reader could see something else in it.
    #[error("it is not encoded as kubeadm does it, and may be read in another way by whoever signs it")]
    Ambiguous,
    /// Another subject than kubeadm's.
    #[error("its subject holds something else than one common name and organizations")]
    Subject,
    /// Extensions that whoever signs might copy.
    #[error("it asks for something else than host names and addresses, and whoever signs it may copy that")]
    AsksForMore,
    /// A key that is not used in a cluster.
    #[error("its key is {0}, and RSA with 2048 to 8192 bits or ECDSA on P-256 or P-384 is wanted")]
    Key(String),
    /// Nothing that a host shows stands at that path.
    #[error("no host shows a certificate at {0:?}")]
    NotAsked(String),
    /// In the name of somebody else.
    #[error("it is in the name of {found:?}, and that host asks for {wanted:?} there")]
    Name {
        /// What it says.
        found: String,
        /// What it is to say.
        wanted: String,
    },
    /// With the rights of somebody else.
    #[error("it makes its owner a member of {found:?}, and that host asks for {wanted:?} there")]
    Organizations {
        /// What it says.
        found: String,
        /// What it is to say.
        wanted: String,
    },
    /// For the name of another server.
    #[error("it is for {0:?}, and that host is not called so")]
    Called(String),
    /// There is no certificate.
    #[error("it holds no certificate (PEM)")]
    NoCertificate,
    /// A certificate for another key.
    #[error("it is for another key than the one that waits on the host: was it signed for an earlier request?")]
    OtherKey,
    /// Nobody's that is believed.
    #[error("it is not issued by {0}")]
    NotIssuedBy(String),
    /// Verified by nobody any more.
    #[error("it is signed with {0}, which Kubernetes does not take")]
    WeaklySigned(String),
    /// It may issue others.
    #[error("it may issue others (basicConstraints: CA:TRUE)")]
    Authority,
    /// It is for another subject than was asked for.
    #[error("its subject is {found:?}, and {wanted:?} was asked for")]
    OtherSubject {
        /// Common name and organizations of the certificate.
        found: String,
        /// Those of the request.
        wanted: String,
    },
    /// A name was left out.
    #[error("it is not for {0}, which was asked for (subjectAltName)")]
    NotFor(String),
    /// It is not good for what it is shown for.
    #[error("it is not for a {whose} (extendedKeyUsage without {missing})")]
    Usage {
        /// Who shows it.
        whose: &'static str,
        /// What is missing.
        missing: &'static str,
    },
    /// Its key may not sign what TLS has it sign.
    #[error("its key may not sign (keyUsage without digitalSignature)")]
    KeyUsage,
    /// Nobody of Kubernetes would read on.
    #[error("it has a critical extension that Kubernetes does not take ({0})")]
    Critical(String),
    /// Read by nobody of Kubernetes.
    #[error("its serial number is below zero, and Kubernetes reads no such certificate")]
    Serial,
    /// Not yet, or no more.
    #[error("it holds from {from} until {until}")]
    Dates {
        /// The first moment.
        from: Timestamp,
        /// The last one.
        until: Timestamp,
    },
}
