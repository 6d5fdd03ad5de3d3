//! Products of numbers. VRL's `*` repeats a text as often as a number says, in one step: a record
//! with a text in the place of a price, and a large count, would take all memory of the host. So
//! both sides of a `*` become a call that lets numbers pass alone, unless the program itself says
//! how often.

use std::collections::BTreeMap;
use std::ops::Range;

use vrl::compiler::Function;
use vrl::compiler::prelude::{
    ArgumentList, Compiled, Context, Example, Expression, FunctionCompileContext,
    FunctionExpression, Parameter, Resolved, TypeDef, TypeState, kind,
};
use vrl::parser::ast::{
    Assignment, Block, Container, Expr, FunctionCall, Literal, Node, Op, Opcode, Predicate, Query,
    QueryTarget, RootExpr, Unary,
};
use vrl::parser::parse;
use vrl::value::Value;

/// The sides of all `*` in a program that may repeat a text, outer ones first.
pub(super) fn sides(text: &str) -> Vec<Range<usize>> {
    let Ok(program) = parse(text) else { return Vec::new() };
    let mut found = Vec::new();
    for root in program {
        if let RootExpr::Expr(node) = root.into_inner() {
            find(node, &mut found);
        }
    }
    found
}

/// How a side is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// It cannot fail.
    Plain,
    /// It can, and then the product does.
    Fallible,
}

/// The program with these sides in these forms.
pub(super) fn with_numbers<'a>(
    text: &str,
    sides: impl Iterator<Item = (&'a Range<usize>, Form)>,
) -> String {
    // What is closed at one place is closed before anything is opened there, inner ones first.
    let mut added: BTreeMap<(usize, bool), String> = BTreeMap::new();
    for (at, form) in sides {
        let (opened, closed) = match form {
            Form::Plain => (format!("{NUMBER}("), ")".to_owned()),
            Form::Fallible => (format!("{NUMBER}("), format!(" ?? {FAULT}())")),
        };
        added.entry((at.start, true)).or_default().push_str(&opened);
        added.entry((at.end, false)).or_default().insert_str(0, &closed);
    }
    let (mut edited, mut done) = (String::with_capacity(text.len() * 2), 0);
    for ((at, _), words) in added {
        edited.push_str(text.get(done..at).unwrap_or_default());
        edited.push_str(&words);
        done = at;
    }
    edited.push_str(text.get(done..).unwrap_or_default());
    edited
}

fn find(node: Node<Expr>, found: &mut Vec<Range<usize>>) {
    match node.into_inner() {
        Expr::Literal(_) | Expr::Variable(_) | Expr::Break(_) => {}
        Expr::Container(container) => find_in_container(container.into_inner(), found),
        Expr::IfStatement(choice) => {
            let choice = choice.into_inner();
            match choice.predicate.into_inner() {
                Predicate::One(one) => find(*one, found),
                Predicate::Many(many) => many.into_iter().for_each(|one| find(one, found)),
            }
            let blocks = [Some(choice.if_node), choice.else_node];
            blocks.into_iter().flatten().for_each(|block| find_in_block(block, found));
        }
        Expr::Op(op) => {
            let Op(left, code, right) = op.into_inner();
            if *code == Opcode::Mul && !is_count(&left) && !is_count(&right) {
                found.extend([&left, &right].map(|side| side.start()..side.end()));
            }
            find(*left, found);
            find(*right, found);
        }
        Expr::Assignment(assignment) => match assignment.into_inner() {
            Assignment::Single { expr, .. } | Assignment::Infallible { expr, .. } => {
                find(*expr, found);
            }
        },
        Expr::Query(query) => {
            let Query { target, .. } = query.into_inner();
            match target.into_inner() {
                QueryTarget::FunctionCall(call) => find_in_call(call, found),
                QueryTarget::Container(container) => find_in_container(container, found),
                QueryTarget::Internal(_) | QueryTarget::External(_) => {}
            }
        }
        Expr::FunctionCall(call) => find_in_call(call.into_inner(), found),
        Expr::Unary(unary) => {
            let Unary::Not(not) = unary.into_inner();
            find(*not.into_inner().take().1, found);
        }
        Expr::Abort(abort) => {
            if let Some(message) = abort.into_inner().message {
                find(*message, found);
            }
        }
        Expr::Return(value) => find(*value.into_inner().expr, found),
    }
}

fn find_in_container(container: Container, found: &mut Vec<Range<usize>>) {
    match container {
        Container::Group(group) => find((*group).into_inner().into_inner(), found),
        Container::Block(block) => find_in_block(block, found),
        Container::Array(all) => all.into_inner().into_iter().for_each(|one| find(one, found)),
        Container::Object(all) => {
            all.into_inner().into_iter().for_each(|(_, one)| find(one, found));
        }
    }
}

fn find_in_block(block: Node<Block>, found: &mut Vec<Range<usize>>) {
    block.into_inner().into_inner().into_iter().for_each(|one| find(one, found));
}

fn find_in_call(call: FunctionCall, found: &mut Vec<Range<usize>>) {
    call.arguments.into_iter().for_each(|argument| find(argument.into_inner().expr, found));
    if let Some(closure) = call.closure {
        find_in_block(closure.into_inner().block, found);
    }
}

/// A number that stands in the program.
fn is_count(side: &Node<Expr>) -> bool {
    let Expr::Literal(literal) = side.inner() else { return false };
    matches!(literal.inner(), Literal::Integer(_) | Literal::Float(_))
}

const NUMBER: &str = "number_of_a_product";
const FAULT: &str = "fault_of_a_product";

/// Both functions, which no program can call by itself.
pub(super) fn functions() -> [Box<dyn Function>; 2] {
    [Box::new(Number), Box::new(Fault)]
}

/// A number as it is, and nothing for anything else: there is no product of nothing.
#[derive(Clone, Copy, Debug)]
struct Number;

impl Function for Number {
    fn identifier(&self) -> &'static str {
        NUMBER
    }

    fn usage(&self) -> &'static str {
        "A number as it is, null for anything else."
    }

    fn category(&self) -> &'static str {
        "Number"
    }

    fn return_kind(&self) -> u16 {
        kind::INTEGER | kind::FLOAT | kind::NULL
    }

    fn parameters(&self) -> &'static [Parameter] {
        const { &[Parameter::required("value", kind::ANY, "What may be a number.")] }
    }

    fn examples(&self) -> &'static [Example] {
        &[]
    }

    fn compile(
        &self,
        _: &TypeState,
        _: &mut FunctionCompileContext,
        arguments: ArgumentList,
    ) -> Compiled {
        Ok(NumberOf { value: arguments.required("value") }.as_expr())
    }
}

#[derive(Clone, Debug)]
struct NumberOf {
    value: Box<dyn Expression>,
}

impl FunctionExpression for NumberOf {
    fn resolve(&self, context: &mut Context<'_>) -> Resolved {
        Ok(match self.value.resolve(context)? {
            number @ (Value::Integer(_) | Value::Float(_)) => number,
            _ => Value::Null,
        })
    }

    fn type_def(&self, state: &TypeState) -> TypeDef {
        let known = self.value.type_def(state);
        let known = known.kind();
        if known.is_integer() || known.is_float() {
            return TypeDef::from(known.clone()).infallible();
        }
        let mut made = TypeDef::null();
        if known.contains_integer() {
            made = made.or_integer();
        }
        if known.contains_float() {
            made = made.or_float();
        }
        made.infallible()
    }
}

/// What a side that failed leads to.
#[derive(Clone, Copy, Debug)]
struct Fault;

impl Function for Fault {
    fn identifier(&self) -> &'static str {
        FAULT
    }

    fn usage(&self) -> &'static str {
        "Always fails."
    }

    fn category(&self) -> &'static str {
        "Number"
    }

    fn return_kind(&self) -> u16 {
        kind::NULL
    }

    fn examples(&self) -> &'static [Example] {
        &[]
    }

    fn compile(&self, _: &TypeState, _: &mut FunctionCompileContext, _: ArgumentList) -> Compiled {
        Ok(NoValue.as_expr())
    }
}

#[derive(Clone, Copy, Debug)]
struct NoValue;

impl FunctionExpression for NoValue {
    fn resolve(&self, _: &mut Context<'_>) -> Resolved {
        Err("one side of a product fails".into())
    }

    /// Whoever wrote the product has dealt with its fault.
    fn type_def(&self, _: &TypeState) -> TypeDef {
        TypeDef::null().infallible()
    }
}
