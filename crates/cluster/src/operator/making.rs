//! The plan that makes a cluster what its spec says.

use super::external::{Asked, ClientFiles};
use super::requests::{Laid, Outside, Required, laid};
use super::supplied::{SuppliedFiles, check_beginning, held};
use super::{Operator, OperatorError, Planned};
use crate::plan::{self, Intent};
use crate::spec::Cluster;
use crate::tools;

impl Operator<'_> {
    /// The plan that makes `cluster`, or the one for it that was begun and not finished. No host is changed, but for the
    /// binary that is brought to it. A host that waits for certificates from elsewhere is passed over while it is no node of a cluster that runs.
    ///
    /// # Errors
    /// The spec, the release or a host does not allow it.
    pub async fn plan(&self, cluster: &Cluster) -> Result<Planned, OperatorError> {
        self.plan_for(cluster, Required::Nodes).await
    }

    /// As [`Self::plan`], to look at: nodes that wait for certificates are no obstacle.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub async fn plan_to_compare(&self, cluster: &Cluster) -> Result<Planned, OperatorError> {
        self.plan_for(cluster, Required::Nobody).await
    }

    pub(super) async fn plan_for(&self, cluster: &Cluster, required: Required<'_>) -> Result<Planned, OperatorError> {
        self.check_site(cluster)?;
        self.check_nothing_open()?;
        let toolbox = self.toolbox();
        // Before any host is touched: kubeadm reads what it will be given.
        let images = tools::kubernetes_images(&toolbox, cluster)?;
        let supplied = SuppliedFiles::read(cluster)?;
        let outside = Outside::read(cluster)?;
        let Laid { cluster, signed, passed_over, looked: (connections, inventory) } =
            laid(cluster, outside.as_ref(), self.look(cluster).await?, required)?;
        let cluster = &*cluster;
        self.check_endpoint(cluster, (&inventory, &connections)).await?;
        check_beginning(supplied.as_ref(), cluster, &inventory)?;
        let files = ClientFiles::read(cluster)?;
        let (ground, speaker) = (self.ground(images)?, self.earlier_speaker()?);
        let brought = (files.as_ref().map(|files| &files.client), supplied.as_ref().map(|files| &files.supplied));
        let signed = signed.as_ref();
        let intent = Intent { etcd_client: brought.0, supplied: brought.1, signed, ..ground.intent(cluster, &speaker) };
        let needs = self.host_needs(cluster, &inventory, &connections).await?;
        let fresh = plan::plan(&intent, &plan::with_needs(&inventory, &needs))?.with_needs(&needs);
        if let Some(files) = &files {
            let (inventory, connections) = (&inventory, connections.as_slice());
            self.check_external(cluster, Asked { files, inventory, connections, authority: None }).await?;
        }
        self.check_members(cluster, &fresh, (&inventory, &connections)).await?;
        let (plan, resumed) = self.taken_up(fresh, &inventory)?;
        let behind = plan::behind(cluster, &inventory, self.release);
        let held = held(files.as_ref(), supplied.as_ref())?;
        Ok(Planned { behind, held, passed_over, ..self.assess(plan, inventory, resumed, connections).await? })
    }
}
