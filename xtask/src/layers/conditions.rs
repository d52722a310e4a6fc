//! Which code is there in a build that is not for tests.
//!
//! **Always**: only `test` is known, and it is off; every other condition may be true, so
//! code behind a Cargo feature counts.

use syn::{Attribute, Expr, ImplItem, Item, Meta, Stmt, Token, TraitItem, punctuated::Punctuated};

/// Whether code with these attributes is there only in tests.
pub fn only_in_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => list
            .parse_args::<Meta>()
            .is_ok_and(|condition| value(&condition) == Some(false)),
        Meta::Path(path) => path.is_ident("test"),
        _ => false,
    })
}

/// What a condition is where `test` is off; `None` if that depends on others.
fn value(condition: &Meta) -> Option<bool> {
    match condition {
        Meta::Path(path) if path.is_ident("test") => Some(false),
        Meta::List(list) => {
            let parts = Punctuated::<Meta, Token![,]>::parse_terminated;
            let parts = list.parse_args_with(parts).ok()?;
            let values: Vec<Option<bool>> = parts.iter().map(value).collect();
            if list.path.is_ident("not") {
                values.first().copied().flatten().map(|value| !value)
            } else if list.path.is_ident("all") {
                decided(&values, false)
            } else if list.path.is_ident("any") {
                decided(&values, true)
            } else {
                None
            }
        }
        _ => None,
    }
}

/// `all` and `any`: one value decides, the other must be that of every part.
fn decided(values: &[Option<bool>], by: bool) -> Option<bool> {
    if values.contains(&Some(by)) {
        Some(by)
    } else if values.iter().all(|value| *value == Some(!by)) {
        Some(!by)
    } else {
        None
    }
}

/// The attributes of an item.
pub fn of_item(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The attributes of an item in an `impl`.
pub fn of_impl_item(item: &ImplItem) -> &[Attribute] {
    match item {
        ImplItem::Const(item) => &item.attrs,
        ImplItem::Fn(item) => &item.attrs,
        ImplItem::Type(item) => &item.attrs,
        ImplItem::Macro(item) => &item.attrs,
        _ => &[],
    }
}

/// The attributes of an item in a trait.
pub fn of_trait_item(item: &TraitItem) -> &[Attribute] {
    match item {
        TraitItem::Const(item) => &item.attrs,
        TraitItem::Fn(item) => &item.attrs,
        TraitItem::Type(item) => &item.attrs,
        TraitItem::Macro(item) => &item.attrs,
        _ => &[],
    }
}

/// The attributes of a statement. Of expressions, those that can stand as one by themselves.
pub fn of_statement(statement: &Stmt) -> &[Attribute] {
    match statement {
        Stmt::Local(local) => &local.attrs,
        Stmt::Item(item) => of_item(item),
        Stmt::Macro(statement) => &statement.attrs,
        Stmt::Expr(expression, _) => match expression {
            Expr::Assign(expression) => &expression.attrs,
            Expr::Block(expression) => &expression.attrs,
            Expr::Call(expression) => &expression.attrs,
            Expr::ForLoop(expression) => &expression.attrs,
            Expr::If(expression) => &expression.attrs,
            Expr::Loop(expression) => &expression.attrs,
            Expr::Macro(expression) => &expression.attrs,
            Expr::Match(expression) => &expression.attrs,
            Expr::MethodCall(expression) => &expression.attrs,
            Expr::Return(expression) => &expression.attrs,
            Expr::Try(expression) => &expression.attrs,
            Expr::While(expression) => &expression.attrs,
            _ => &[],
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_conditions_that_need_test_leave_code_out() {
        let is_left_out = |condition: &str| {
            let item = syn::parse_str::<Item>(&format!("#[{condition}] fn f() {{}}")).unwrap();
            only_in_tests(of_item(&item))
        };
        for condition in [
            "cfg(test)",
            "cfg(all(test, unix))",
            "cfg(not(not(test)))",
            "test",
        ] {
            assert!(is_left_out(condition), "{condition}");
        }
        for condition in [
            "cfg(not(test))",
            "cfg(any(test, feature = \"faults\"))",
            "cfg(unix)",
            "cfg_attr(test, allow(unused))",
        ] {
            assert!(!is_left_out(condition), "{condition}");
        }
    }
}
