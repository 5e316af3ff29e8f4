//! Pauses within joins, which make many rows of few, or compare many that come to nothing: so a query that nobody waits for
//! ends, and others have their turn. Knows nothing of who asked.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, stream};

/// Rows of one side that are compared with all of the other between two pauses.
const ROWS: usize = 16;
/// The same, where only those of the other are compared that have the same key, which may be many.
const ROWS_WITH_KEY: usize = 128;

/// See the module.
#[derive(Debug)]
pub(crate) struct Pauses;

impl PhysicalOptimizerRule for Pauses {
    fn name(&self) -> &'static str {
        "pauses"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(with_pauses).data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn with_pauses(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let by_key = plan.downcast_ref::<HashJoinExec>();
    let compares = if plan.is::<NestedLoopJoinExec>() {
        Some(ROWS)
    } else {
        by_key.filter(|join| join.filter().is_some()).map(|_| ROWS_WITH_KEY)
    };
    let makes_many = by_key.is_some() || plan.is::<CrossJoinExec>() || plan.is::<UnnestExec>();
    if !makes_many && compares.is_none() {
        return Ok(Transformed::no(plan));
    }
    let plan = match (&plan.children()[..], compares) {
        // The second one is what streams by; the first one is in memory then.
        ([first, second], Some(rows)) => {
            let children = vec![Arc::clone(first), Arc::new(PausingExec::over(second, rows)) as _];
            replace_children_if_necessary(plan, children)?
        }
        _ => plan,
    };
    Ok(Transformed::yes(Arc::new(CooperativeExec::new(plan))))
}

/// Hands on a few rows at a time, with a pause before each.
#[derive(Debug)]
struct PausingExec {
    input: Arc<dyn ExecutionPlan>,
    /// So many.
    rows: usize,
}

impl PausingExec {
    fn over(input: &Arc<dyn ExecutionPlan>, rows: usize) -> Self {
        Self { input: Arc::clone(input), rows }
    }
}

impl DisplayAs for PausingExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PausingExec: rows={}", self.rows)
    }
}

impl ExecutionPlan for PausingExec {
    fn name(&self) -> &'static str {
        "PausingExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = &children[..] else { return internal_err!("one input is paused, not {}", children.len()) };
        Ok(Arc::new(Self::over(input, self.rows)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.rows;
        let parts = self.input.execute(partition, context)?.flat_map(move |batch| stream::iter(parts(batch, rows)));
        let paused = parts.then(|part| async {
            tokio::task::yield_now().await;
            part
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), paused)))
    }
}

fn parts(batch: Result<RecordBatch>, most: usize) -> Vec<Result<RecordBatch>> {
    let Ok(batch) = batch else { return vec![batch] };
    let rows = batch.num_rows();
    (0..rows).step_by(most).map(|first| Ok(batch.slice(first, most.min(rows - first)))).collect()
}
