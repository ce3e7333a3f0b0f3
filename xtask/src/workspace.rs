//! The resolved dependency graph, as `cargo metadata` tells it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::problem::Problem;
use crate::process;

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

/// One crate of the graph.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Package {
    id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a crate's manifest.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Option<String>,
    pub(crate) features: Vec<String>,
}

impl Dependency {
    /// Linked into what we ship or run while building it; dev-dependencies are neither.
    pub(crate) fn ships(&self) -> bool {
        self.kind.as_deref() != Some("dev")
    }
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Debug, Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// The workspace and everything that it resolves to, on every platform.
#[derive(Debug)]
pub(crate) struct Workspace {
    packages: BTreeMap<String, Package>,
    members: Vec<String>,
    edges: BTreeMap<String, Vec<String>>,
}

impl Workspace {
    /// Asks cargo about our workspace.
    pub(crate) fn load() -> Result<Self, Problem> {
        Self::of("Cargo.toml")
    }

    /// Asks cargo about the workspace of this manifest, which may be one of those that stand outside.
    pub(crate) fn of(manifest: &str) -> Result<Self, Problem> {
        let mut command = process::cargo();
        command.args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--quiet",
            "--manifest-path",
            manifest,
        ]);
        let text = process::quiet(&mut command)?;
        let metadata: Metadata = serde_json::from_str(&text)
            .map_err(|error| Problem::Unreadable { what: "cargo metadata", reason: error.to_string() })?;
        let edges = metadata
            .resolve
            .nodes
            .into_iter()
            .map(|node| {
                let ships = |edge: &Edge| edge.dep_kinds.iter().any(|k| k.kind.as_deref() != Some("dev"));
                (node.id, node.deps.into_iter().filter(ships).map(|edge| edge.pkg).collect())
            })
            .collect();
        Ok(Self {
            packages: metadata.packages.into_iter().map(|p| (p.id.clone(), p)).collect(),
            members: metadata.workspace_members,
            edges,
        })
    }

    /// Our own crates.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.members.iter().filter_map(|id| self.packages.get(id))
    }

    /// Every crate that a member links or builds with, and the members themselves.
    pub(crate) fn shipped(&self) -> Vec<&Package> {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&str> = self.members.iter().map(String::as_str).collect();
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                open.extend(self.edges.get(id).into_iter().flatten().map(String::as_str));
            }
        }
        seen.into_iter().filter_map(|id| self.packages.get(id)).collect()
    }

    /// Names of the crates that `package` links or builds with directly, as resolved.
    pub(crate) fn links(&self, package: &Package) -> Vec<&str> {
        let edges = self.edges.get(&package.id).into_iter().flatten();
        edges.filter_map(|id| self.packages.get(id)).map(|p| p.name.as_str()).collect()
    }
}
