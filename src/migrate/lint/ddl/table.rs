//! Tables as statements make, change and divide them.

use squawk_syntax::ast::{AstNode as _, Type, normalize_name_node};
use squawk_syntax::{SyntaxKind as K, SyntaxNode};

use super::{Change, What, full, named, rewrite, span, spelling};
use crate::migrate::script::{Name, tree};
use crate::partition::bound::HashBound;

/// A table that a statement makes.
#[derive(Debug, Clone)]
pub(in crate::migrate::lint) struct NewTable {
    /// Its name.
    pub(in crate::migrate::lint) name: Name,
    pub(in crate::migrate::lint) columns: Vec<Column>,
    pub(in crate::migrate::lint) constraints: Vec<Constraint>,
    /// Tables that it is made like.
    pub(in crate::migrate::lint) like: Vec<Name>,
    /// How it is divided.
    pub(in crate::migrate::lint) divided: Option<PartitionBy>,
    /// The table that it is a partition of.
    pub(in crate::migrate::lint) parent: Option<(Name, Bound)>,
    /// Whether it has rows from the beginning.
    pub(in crate::migrate::lint) filled: bool,
}

impl NewTable {
    fn named(name: Name, filled: bool) -> Self {
        let (columns, constraints, like) = (Vec::new(), Vec::new(), Vec::new());
        Self { name, columns, constraints, like, divided: None, parent: None, filled }
    }
}

/// A column.
#[derive(Debug, Clone)]
pub(in crate::migrate::lint) struct Column {
    pub(in crate::migrate::lint) name: String,
    /// Its type as PostgreSQL prints it.
    pub(in crate::migrate::lint) kind: String,
    pub(in crate::migrate::lint) not_null: bool,
}

/// A constraint.
#[derive(Debug, Clone)]
pub(in crate::migrate::lint) enum Constraint {
    /// PRIMARY KEY or UNIQUE.
    Key { name: Option<String>, primary: bool, columns: Vec<String>, index: Option<Name> },
    /// CHECK; the columns that are not null where it holds.
    Check { name: Option<String>, text: String, valid: bool, not_null: Vec<String> },
    /// FOREIGN KEY.
    Reference { to: Name },
}

/// How a table is divided into partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::migrate::lint) struct PartitionBy {
    pub(in crate::migrate::lint) strategy: Strategy,
    /// Its columns; an expression is spelled out.
    pub(in crate::migrate::lint) keys: Vec<String>,
}

/// By what a table is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::migrate::lint) enum Strategy {
    Hash,
    Range,
    List,
}

/// Which rows a partition takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::migrate::lint) enum Bound {
    /// Those of some hashes.
    Hash(HashBound),
    /// Those that no other takes.
    Default,
    /// Those of some values, which these literals name.
    Values(Vec<String>),
}

pub(super) fn created(node: &SyntaxNode) -> Option<NewTable> {
    let mut table = NewTable::named(named(node, K::TABLE_NAME)?, false);
    let arguments = tree::find(node, K::TABLE_ARG_LIST);
    for argument in arguments.iter().flat_map(SyntaxNode::children) {
        match argument.kind() {
            K::COLUMN => {
                table.columns.extend(column(&argument));
                table.constraints.extend(constraints_of_column(&argument));
            }
            K::LIKE_CLAUSE => table.like.extend(tree::name(&argument).map(full)),
            _ => table.constraints.extend(constraint(&argument)),
        }
    }
    table.divided = tree::find(node, K::PARTITION_BY).and_then(|one| divided(&one));
    table.parent = named(node, K::PARTITION_OF).zip(bound(node));
    Some(table)
}

/// A table or a materialized view that a query fills, if it does so at once.
pub(super) fn filled(node: &SyntaxNode) -> Option<NewTable> {
    let name = [K::TABLE_NAME, K::TABLE_NAME_REF, K::VIEW].into_iter().find_map(|kind| named(node, kind))?;
    Some(NewTable::named(name, tree::find(node, K::WITH_NO_DATA).is_none()))
}

fn column(node: &SyntaxNode) -> Option<Column> {
    let named = |one: &SyntaxNode| matches!(one.kind(), K::COLUMN_NAME | K::COLUMN_NAME_REF);
    let kind = node.children().find(|one| Type::can_cast(one.kind()))?;
    Some(Column {
        name: normalize_name_node(&node.children().find(named)?),
        kind: spelling::type_name(&kind),
        not_null: node
            .children()
            .any(|one| matches!(one.kind(), K::NOT_NULL_CONSTRAINT | K::PRIMARY_KEY_CONSTRAINT)),
    })
}

/// The constraints that stand beside a column.
fn constraints_of_column(node: &SyntaxNode) -> Vec<Constraint> {
    let own = column(node).map(|one| one.name);
    let with_column = |mut one| {
        if let Constraint::Key { columns, .. } = &mut one {
            columns.extend(own.clone());
        }
        one
    };
    node.children().filter_map(|one| constraint(&one)).map(with_column).collect()
}

fn constraint(node: &SyntaxNode) -> Option<Constraint> {
    let name = tree::find(node, K::CONSTRAINT_NAME).map(|one| normalize_name_node(&one));
    match node.kind() {
        K::PRIMARY_KEY_CONSTRAINT | K::UNIQUE_CONSTRAINT => {
            let list = tree::find(node, K::CONSTRAINT_COLUMN_REF_LIST);
            let columns = list.iter().flat_map(|list| tree::all(list, K::COLUMN_NAME_REF));
            let columns = columns.map(|one| normalize_name_node(&one)).collect();
            let primary = node.kind() == K::PRIMARY_KEY_CONSTRAINT;
            Some(Constraint::Key { name, primary, columns, index: named(node, K::INDEX_REF) })
        }
        K::CHECK_CONSTRAINT => {
            let valid = tree::find(node, K::NOT_VALID).is_none();
            let said = |one: &SyntaxNode| !matches!(one.kind(), K::CONSTRAINT_NAME_CLAUSE | K::NOT_VALID);
            let text = node.children().filter(said).map(|one| spelling::of(&one)).collect();
            let not_null = node.children().filter(said).flat_map(|one| not_null(&one)).collect();
            Some(Constraint::Check { name, text, valid, not_null })
        }
        K::FOREIGN_KEY_CONSTRAINT | K::REFERENCES_CONSTRAINT => {
            named(node, K::TABLE_NAME_REF).map(|to| Constraint::Reference { to })
        }
        _ => None,
    }
}

/// The columns of which `expression` demands that they are not null.
fn not_null(expression: &SyntaxNode) -> Vec<String> {
    let has = |kind| expression.children_with_tokens().any(|one| one.kind() == kind);
    match expression.kind() {
        K::PAREN_EXPR => expression.children().flat_map(|one| not_null(&one)).collect(),
        K::BIN_EXPR if has(K::AND_KW) => expression.children().flat_map(|one| not_null(&one)).collect(),
        K::BIN_EXPR if has(K::IS_NOT) && tree::says(expression, K::NULL_KW) => {
            let column = expression.children().next().filter(|one| one.kind() == K::NAME_REF);
            column.iter().map(normalize_name_node).collect()
        }
        _ => Vec::new(),
    }
}

fn divided(node: &SyntaxNode) -> Option<PartitionBy> {
    let strategy = match tree::find(node, K::PARTITION_STRATEGY)?.text().to_string().to_lowercase().as_str() {
        "hash" => Strategy::Hash,
        "range" => Strategy::Range,
        _ => Strategy::List,
    };
    let keys = tree::all(node, K::PARTITION_ITEM)
        .filter_map(|one| Some(spelling::key(&one.children().next()?)))
        .collect();
    Some(PartitionBy { strategy, keys })
}

/// The bound that `node` gives a partition.
fn bound(node: &SyntaxNode) -> Option<Bound> {
    if let Some(hashes) = tree::find(node, K::PARTITION_FOR_VALUES_WITH) {
        let number = |word: &str| {
            let part =
                tree::all(&hashes, K::HASH_PARTITION_BOUND).map(|one| one.text().to_string().to_lowercase());
            part.filter_map(|text| text.strip_prefix(word)?.trim().parse().ok()).next()
        };
        let bound = HashBound { modulus: number("modulus")?, remainder: number("remainder")? };
        return (bound.remainder < bound.modulus).then_some(Bound::Hash(bound));
    }
    if tree::find(node, K::PARTITION_DEFAULT).is_some() {
        return Some(Bound::Default);
    }
    let values = [K::PARTITION_FOR_VALUES_FROM, K::PARTITION_FOR_VALUES_IN];
    let values = node.descendants().find(|one| values.contains(&one.kind()))?;
    Some(Bound::Values(tree::all(&values, K::LITERAL).map(|one| spelling::of(&one)).collect()))
}

pub(super) fn altered(node: &SyntaxNode) -> Vec<Change> {
    let Some(table) =
        node.children().find(|one| one.kind() == K::TABLE_RELATION_NAME).and_then(|one| tree::name(&one))
    else {
        return rewrite::moved(node).map(|what| Change { span: span(node), what }).into_iter().collect();
    };
    let table = full(table);
    let actions = node.children().skip(1);
    actions
        .flat_map(|action| {
            what(&table, &action).into_iter().map(move |what| Change { span: span(&action), what })
        })
        .collect()
}

/// What one action of an ALTER TABLE does.
fn what(table: &Name, action: &SyntaxNode) -> Vec<What> {
    let table = table.clone();
    let own_name = |kind| tree::find(action, kind).and_then(|one| tree::name(&one)).map(|one| one.name);
    let one = match action.kind() {
        K::ADD_COLUMN => return added_column(&table, action),
        K::ALTER_COLUMN => altered_column(table, action),
        K::ADD_CONSTRAINT => {
            let constraint = action.children().find_map(|one| constraint(&one));
            constraint.map(|constraint| What::AddConstraint { table, constraint })
        }
        K::DROP_CONSTRAINT => {
            own_name(K::CONSTRAINT_NAME_REF).map(|name| What::DropConstraint { table, name })
        }
        K::VALIDATE_CONSTRAINT => own_name(K::CONSTRAINT_NAME_REF).map(|name| What::Validate { table, name }),
        K::TABLE_RENAME_TO => tree::name(action).map(|to| {
            let to = Name { schema: table.schema.clone(), name: to.name };
            What::RenameTable { table, to }
        }),
        K::ATTACH_PARTITION => named(action, K::TABLE_NAME_REF)
            .zip(bound(action))
            .map(|(leaf, bound)| What::Attach { parent: table, leaf, bound }),
        K::DETACH_PARTITION => named(action, K::TABLE_NAME_REF).map(|leaf| What::Detach {
            parent: table,
            leaf,
            concurrently: tree::says(action, K::CONCURRENTLY_KW),
        }),
        _ => rewrite::of_action(action).map(|how| What::Rewrite { table: Some(table), how }),
    };
    one.into_iter().collect()
}

fn altered_column(table: Name, action: &SyntaxNode) -> Option<What> {
    let says = |kind| tree::find(action, kind).is_some();
    let nullable = says(K::DROP_NOT_NULL);
    if nullable || says(K::SET_NOT_NULL) {
        let column = normalize_name_node(&tree::find(action, K::COLUMN_NAME_REF)?);
        return Some(What::SetNull { table, column, nullable });
    }
    retyped(action).map(|column| What::Retype { table, column })
}

fn retyped(action: &SyntaxNode) -> Option<Column> {
    let set = tree::find(action, K::SET_TYPE)?;
    let kind = spelling::type_name(&set.children().find(|one| Type::can_cast(one.kind()))?);
    let name = normalize_name_node(&tree::find(action, K::COLUMN_NAME_REF)?);
    Some(Column { name, kind, not_null: false })
}

fn added_column(table: &Name, action: &SyntaxNode) -> Vec<What> {
    let column = column(action).map(|column| What::AddColumn { table: table.clone(), column });
    let constraints = constraints_of_column(action);
    let constraints =
        constraints.into_iter().map(|constraint| What::AddConstraint { table: table.clone(), constraint });
    column.into_iter().chain(constraints).collect()
}
