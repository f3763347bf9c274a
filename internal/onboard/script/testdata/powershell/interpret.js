// Parses a PowerShell script, and runs some of its functions:
//
//	node interpret.js SCRIPT < CALLS
//
// CALLS is a JSON list of {"function": NAME, "arguments": [...]}; printed is a JSON
// list of {"value": ...} or {"error": ...}. It exits with 1 when the script does not
// parse, or when a function uses something that is not understood here.
//
// What is understood is the part of PowerShell in which setup.ps1 edits
// config.toml: variables, strings, numbers, lists and hash tables, if, while, for
// and foreach, the case-sensitive operators, and calls of its own functions. It is
// as strict as Set-StrictMode: a variable must be set before it is read. A value
// that a statement leaves unused, which PowerShell would add to what the function
// returns, is an error.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Language, Parser } from 'web-tree-sitter';

const grammar = createRequire(import.meta.url).resolve('tree-sitter-powershell/tree-sitter-powershell.wasm');
await Parser.init();
const parser = new Parser();
parser.setLanguage(await Language.load(grammar));
const script = parser.parse(readFileSync(process.argv[2], 'utf8')).rootNode;

const errors = [];
const functions = new Map();

function visit(node) {
  if (node.isError || node.isMissing) errors.push(`line ${node.startPosition.row + 1}: ${node.text.slice(0, 60)}`);
  if (node.type === 'function_statement') functions.set(child(node, 'function_name').text.toLowerCase(), node);
  node.children.forEach(visit);
}

function stop(text, node) {
  console.error(node ? `line ${node.startPosition.row + 1}: ${text}: ${node.text.slice(0, 80)}` : text);
  process.exit(1);
}

// What throw ends with, and how return, break and continue are carried.
class Thrown extends Error {}
class Flow {
  constructor(kind, value) { this.kind = kind; this.value = value; }
}

function child(node, type) { return node.children.find((c) => c?.type === type); }
function named(node) { return node.namedChildren.filter((c) => c.type !== 'comment' && c.type !== 'command_argument_sep'); }

// inner skips the nodes that only say what could have stood there.
function inner(node) {
  while (node.namedChildCount === 1 && node.childCount === 1 && node.child(0).text === node.text) node = node.child(0);
  return node;
}

function invoke(name, values) {
  const body = functions.get(name.toLowerCase());
  if (!body) stop(`there is no function ${name}`);
  const scope = new Map([['true', true], ['false', false], ['null', null], ['matches', null]]);
  const parameters = child(body, 'function_parameter_declaration').descendantsOfType('script_parameter');
  parameters.forEach((p, i) => scope.set(variable(child(p, 'variable')), values[i]));
  const flow = run(child(body, 'statement_list') ?? child(body, 'script_block'), scope);
  return flow?.kind === 'return' ? flow.value : null;
}

function variable(node) { return node.text.replace(/^\$/, '').toLowerCase(); }

// run carries out a statement, and returns how it left, if it did.
function run(node, scope) {
  node = inner(node);
  switch (node.type) {
    case 'comment': case 'empty_statement':
      return;
    case 'statement_list': case 'statement_block': case 'script_block': case 'script_block_body':
      for (const c of named(node)) {
        const flow = run(c, scope);
        if (flow) return flow;
      }
      return;
    case 'if_statement': case 'elseif_clause': {
      const [condition, block, ...others] = named(node);
      if (truth(value(condition, scope))) return run(block, scope) ?? (node.type === 'elseif_clause' ? new Flow('taken') : undefined);
      for (const other of others) {
        for (const clause of other.type === 'elseif_clauses' ? named(other) : [other]) {
          const flow = clause.type === 'else_clause' ? run(child(clause, 'statement_block'), scope) : run(clause, scope);
          if (flow) return flow.kind === 'taken' ? undefined : flow;
        }
      }
      return;
    }
    case 'while_statement': {
      const [condition, block] = named(node);
      return loop(() => truth(value(condition, scope)), () => run(block, scope), () => {});
    }
    case 'for_statement': {
      const [first, condition, next, block] = named(node);
      run(first, scope);
      return loop(() => truth(value(condition, scope)), () => run(block, scope), () => run(next, scope));
    }
    case 'foreach_statement': {
      const [name, list, block] = named(node);
      const items = [...value(list, scope)];
      return loop(() => items.length > 0, () => { scope.set(variable(inner(name)), items.shift()); return run(block, scope); }, () => {});
    }
    case 'flow_control_statement': {
      const kind = node.child(0).text.toLowerCase();
      const [what] = named(node);
      const carried = what ? value(what, scope) : null;
      if (kind === 'throw') throw new Thrown(carried);
      return new Flow(kind, carried);
    }
    default:
      if (value(node, scope) !== undefined) stop('a value is left unused', node);
  }
}

function loop(holds, body, next) {
  for (; holds(); next()) {
    const flow = body();
    if (flow?.kind === 'break') return;
    if (flow && flow.kind !== 'continue') return flow;
  }
}

// value evaluates an expression; undefined is no value, as a statement has none.
function value(node, scope) {
  node = inner(node);
  const parts = named(node);
  switch (node.type) {
    case 'variable': return read(node, scope);
    case 'decimal_integer_literal': return Number(node.text);
    case 'verbatim_string_characters': return node.text.slice(1, -1).replaceAll("''", "'");
    case 'expandable_string_literal': return expand(node, scope);
    case 'parenthesized_expression': return value(parts[0], scope);
    case 'array_expression': return parts.length === 0 ? [] : [].concat(value(parts[0], scope));
    case 'array_literal_expression': return parts.map((p) => value(p, scope));
    case 'hash_literal_expression': {
      const table = new Map();
      for (const entry of node.descendantsOfType('hash_entry')) table.set(named(entry)[0].text, value(named(entry)[1], scope));
      return table;
    }
    case 'expression_with_unary_operator': {
      const operand = value(parts[0], scope);
      if (node.child(0).text === '-not') return !truth(operand);
      if (node.child(0).text === '-') return -operand;
      return stop('this operator is not understood', node);
    }
    case 'logical_expression': {
      const left = truth(value(parts[0], scope));
      switch (node.child(1).text) {
        case '-and': return left && truth(value(parts[1], scope));
        case '-or': return left || truth(value(parts[1], scope));
      }
      return stop('this operator is not understood', node);
    }
    case 'additive_expression': case 'additive_argument_expression': {
      const [left, right] = [value(parts[0], scope), value(parts[1], scope)];
      if (node.child(1).text === '-') return left - right;
      return typeof left === 'number' ? left + right : text(left) + text(right);
    }
    case 'comparison_expression': return compare(node, parts, scope);
    case 'assignment_expression': return void assign(parts[0], value(parts[2], scope), scope);
    case 'post_increment_expression': return void assign(parts[0], value(parts[0], scope) + 1, scope);
    case 'member_access': {
      const [object, name] = [value(parts[0], scope), parts[1].text];
      if (object instanceof Map) return object.has(name) ? object.get(name) : stop('it has no such key', node);
      if (name === 'Length' || name === 'Count') return object.length;
      return stop('this property is not understood', node);
    }
    case 'element_access': {
      const [object, at] = [value(parts[0], scope), value(parts[1], scope)];
      const found = object instanceof Map ? object.get(at) : object[at];
      return found === undefined ? null : found;
    }
    case 'invokation_expression': return method(node, parts, scope);
    case 'command': {
      const [name, elements] = parts;
      const given = elements ? named(elements) : [];
      if (name.text === 'New-Object' && given[0]?.text.includes('List[string]')) return [];
      const result = invoke(name.text, given.map((g) => value(g, scope)));
      return result === null ? undefined : result;
    }
  }
  return stop(`${node.type} is not understood`, node);
}

function read(node, scope) {
  const name = variable(node);
  if (!scope.has(name)) stop('this variable is read before it is set', node);
  return scope.get(name);
}

function assign(target, assigned, scope) {
  target = inner(target);
  const parts = named(target);
  switch (target.type) {
    case 'variable': return scope.set(variable(target), assigned);
    case 'member_access': return value(parts[0], scope).set(parts[1].text, assigned);
    case 'element_access': {
      const [object, at] = [value(parts[0], scope), value(parts[1], scope)];
      return object instanceof Map ? object.set(at, assigned) : (object[at] = assigned);
    }
  }
  return stop('nothing can be assigned to this', target);
}

function method(node, parts, scope) {
  const [object, name] = [value(parts[0], scope), parts[1].text];
  const list = child(node, 'argument_list');
  const given = list ? named(list).flatMap((p) => (p.type === 'argument_expression_list' ? named(p) : [p])).map((p) => value(p, scope)) : [];
  switch (name) {
    case 'Substring': return given.length === 1 ? object.substring(given[0]) : object.substring(given[0], given[0] + given[1]);
    case 'Add': object.push(given[0]); return undefined;
    case 'ContainsKey': return object.has(given[0]);
  }
  return stop('this method is not understood', node);
}

function compare(node, parts, scope) {
  const [left, right] = [value(parts[0], scope), value(parts[2], scope)];
  switch (parts[1].text) {
    case '-ceq': case '-eq': return left === right;
    case '-cne': case '-ne': return left !== right;
    case '-lt': return left < right;
    case '-le': return left <= right;
    case '-gt': return left > right;
    case '-ge': return left >= right;
    case '-cmatch': {
      const found = regex(right).exec(left);
      if (found) scope.set('matches', new Map(found.map((group, i) => [i, group]).filter(([, group]) => group !== undefined)));
      return found !== null;
    }
    case '-creplace': return left.replace(regex(right[0], 'g'), right[1].replace(/\$(?!\d)/g, '$$$$'));
    case '-csplit': return left.split(regex(right));
    case '-join': return left.join(right);
  }
  return stop('this operator is not understood', node);
}

// regex returns .NET's regular expression as JavaScript's: there $ also stands
// before a last line feed, and a dot for all but that.
function regex(pattern, flags = '') {
  const translated = pattern.replace(/\\A|\\z|\\.|\[(?:\\.|[^\]\\])*\]|[$.]/gs, (token) => {
    switch (token) {
      case '\\A': return '(?<![^])';
      case '\\z': return '(?![^])';
      case '$': return '(?=\\n?(?![^]))';
      case '.': return '[^\\n]';
    }
    return token;
  });
  return new RegExp(translated, flags);
}

const escapes = { n: '\n', r: '\r', t: '\t', 0: '\0' };

// expand returns a string in double quotes with its variables put in.
function expand(node, scope) {
  let out = '';
  let at = node.startIndex + 1;
  const literal = (end) => {
    out += script.text.slice(at, end).replace(/`(.)|""/g, (all, c) => (c === undefined ? '"' : escapes[c] ?? c));
  };
  for (const c of named(node)) {
    if (c.type !== 'variable') stop('this is not understood in a string', c);
    literal(c.startIndex);
    out += text(read(c, scope));
    at = c.endIndex;
  }
  literal(node.endIndex - 1);
  return out;
}

function truth(v) { return Array.isArray(v) ? v.length > 0 : Boolean(v); }
function text(v) { return v === null ? '' : String(v); }

visit(script);
if (errors.length > 0) stop(`it does not parse:\n${errors.join('\n')}`);

const results = JSON.parse(readFileSync(0, 'utf8')).map((call) => {
  try {
    return { value: invoke(call.function, call.arguments) };
  } catch (e) {
    if (!(e instanceof Thrown)) throw e;
    return { error: e.message };
  }
});
console.log(JSON.stringify(results));
