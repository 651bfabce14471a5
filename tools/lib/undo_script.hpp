// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace oplog::tools {

/// undo.js, as oplog-undo writes it. mongosh rewrites what it runs so that it may look synchronous: no callback may ask the server.
inline constexpr std::string_view undo_script =
    R"js(// Takes operations back. Each document is written only if the server still has it byte for byte as the chain ended with it; what has changed since, or
// is there already, is left alone. Made by oplog-undo; the documents are in undo.jsonl, beside this file.
//
//   mongosh URI undo.js            says what it would do
//   APPLY=1 mongosh URI undo.js    does it; again if it was interrupted
//
// A batch is one transaction: its documents go, and what they become comes, so that unique values may pass between them, or nothing happens.
const undoFs = require('fs'), undoPath = require('path');
const undoWord = String(typeof APPLY !== 'undefined' ? APPLY : process.env.APPLY || '');
const undoWrites = !['', '0', 'false', 'no'].includes(undoWord);
const undoDirectory = process.env.UNDO_DIRECTORY || __dirname;
const undoMost = 500, undoMostBytes = 8 << 20;
const undoCounts = {}, undoInexact = 'mongosh cannot write it byte for byte; see replay/ and before/';
let undoWaiting = {};

function undoCount(item, what) {
  if (!undoCounts[item.ns]) undoCounts[item.ns] = { restored: 0, deleted: 0, inserted: 0, already: 0, conflict: 0 };
  undoCounts[item.ns][what]++;
}
function undoConflict(item, reason) {
  undoCount(item, 'conflict');
  print('conflict: ' + item.ns + ' ' + item.idText + ': ' + reason);
}
// An object of JavaScript puts names that are numbers first, and EJSON takes some names with a dollar for its own: documents with such have all their names marked by
// a dot, and become Maps.
function undoUnmark(value) {
  if (Array.isArray(value)) {
    const values = [];
    for (let i = 0; i < value.length; i++) values.push(undoUnmark(value[i]));
    return values;
  }
  if (Object.prototype.toString.call(value) !== '[object Object]' || value._bsontype) return value;
  const map = new Map(), names = Object.keys(value);
  for (let i = 0; i < names.length; i++) map.set(names[i].substring(1), undoUnmark(value[names[i]]));
  return map;
}
function undoKey(bytes) { return Buffer.from(bytes).toString('base64'); }
function undoIds(items) {
  const ids = [];
  for (let i = 0; i < items.length; i++) ids.push(items[i].id);
  return ids;
}
// As many at a time as one command takes.
function undoSlices(items) {
  const slices = [];
  for (let i = 0, size = 0; i < items.length; i++) {
    if (i === 0 || slices[slices.length - 1].length === undoMost || size + items[i].size > undoMostBytes) {
      slices.push([]);
      size = 0;
    }
    slices[slices.length - 1].push(items[i]);
    size += items[i].size;
  }
  return slices;
}
function undoRaw(collection, items) {
  const found = {}, slices = undoSlices(items);
  for (let s = 0; s < slices.length; s++) {
    const documents = collection.find({ _id: { $in: undoIds(slices[s]) } }, {}, { raw: true }).toArray();
    for (let i = 0; i < documents.length; i++) found[undoKey(documents[i])] = true;
  }
  return found;
}

// Of two `_id`s that the server takes for the same, whether they are spelled the same: where a collation has several spellings for one, each is a document of its own.
function undoSpelled(a, b) {
  if (typeof a === 'string' || typeof b === 'string') return a === b;
  if (a === null || typeof a !== 'object' || a._bsontype) return true;
  const names = Object.keys(a);
  for (let i = 0; i < names.length; i++) if (!undoSpelled(a[names[i]], b instanceof Map ? b.get(names[i]) : b[names[i]])) return false;
  return true;
}

// Looks at each document: what is to be written, what is so already, and what has changed.
function undoLook(collection, items) {
  const found = undoRaw(collection, items);
  const look = { write: [], already: [], changed: [] };
  for (let i = 0; i < items.length; i++) {
    const item = items[i];
    if (item.now !== null && found[item.now]) look.write.push(item);
    else if (item.bytes !== null && found[item.bytes]) look.already.push(item);
    else {
      const there = collection.find({ _id: { $eq: item.id } }, { _id: 1 }).toArray();
      if (there.length > 0 && undoSpelled(there[0]._id, item.id)) look.changed.push(item);
      else if (item.now === null) look.write.push(item);
      else if (item.bytes === null) look.already.push(item);
      else look.changed.push(item);
    }
  }
  return look;
}

// Writes what is still as the chain had it. Yields the documents that cannot be, and why: null if all is done, or nothing could be.
function undoTransaction(ns, items) {
  const dot = ns.indexOf('.'), collectionName = ns.substring(dot + 1);
  const session = db.getMongo().startSession();
  const database = session.getDatabase(ns.substring(0, dot)), collection = database.getCollection(collectionName);
  session.startTransaction({ readConcern: { level: 'snapshot' }, writeConcern: { w: 'majority' } });
  try {
    const look = undoLook(collection, items);
    const gone = [], come = [];
    for (let i = 0; i < look.write.length; i++) {
      if (look.write[i].now !== null) gone.push(look.write[i]);
      if (look.write[i].target !== null) come.push(look.write[i]);
    }
    const leaving = undoSlices(gone), coming = undoSlices(come);
    for (let s = 0; s < leaving.length; s++) {
      const deleted = collection.deleteMany({ _id: { $in: undoIds(leaving[s]) } }).deletedCount;
      if (deleted !== leaving[s].length) throw new Error(ns + ': ' + deleted + ' documents went instead of ' + leaving[s].length + '; nothing of this batch is written');
    }
    for (let s = 0; s < coming.length; s++) { // insertOne() does not take a Map
      const documents = [];
      for (let i = 0; i < coming[s].length; i++) documents.push(coming[s][i].target);
      const done = database.runCommand({ insert: collectionName, documents: documents, bypassDocumentValidation: true });
      if (done.writeErrors) {
        const error = done.writeErrors[0];
        session.abortTransaction();
        return { refused: [coming[s][error.index]], reason: error.errmsg, unique: error.code === 11000 };
      }
    }
    const written = undoRaw(collection, come), inexact = [];
    for (let i = 0; i < come.length; i++) if (!written[come[i].bytes]) inexact.push(come[i]);
    if (inexact.length > 0) {
      session.abortTransaction();
      return { refused: inexact, reason: undoInexact, unique: false };
    }
    undoCommit(session);
    return { refused: [], look: look };
  } catch (error) {
    try { session.abortTransaction(); } catch (ignored) { }
    throw error;
  } finally {
    session.endSession();
  }
}
// Whether mongosh cannot send what it was given: a document has a value that it does not hold.
function undoCannotHold(error) { return /^BSON/.test(String(error.name)); }
function undoHas(error, label) {
  return (typeof error.hasErrorLabel === 'function' && error.hasErrorLabel(label)) || (Array.isArray(error.errorLabels) && error.errorLabels.includes(label));
}
function undoCommit(session) {
  for (let tries = 0; ; tries++) {
    try {
      session.commitTransaction();
      return;
    } catch (error) {
      if (tries === 10 || !undoHas(error, 'UnknownTransactionCommitResult')) throw error;
    }
  }
}

function undoDryRun(ns, items) {
  const dot = ns.indexOf('.');
  return { refused: [], look: undoLook(db.getSiblingDB(ns.substring(0, dot)).getCollection(ns.substring(dot + 1)), items) };
}
function undoHalves(ns, items, stage) {
  const half = items.length >> 1, one = undoBatch(ns, items.slice(0, half), stage), other = undoBatch(ns, items.slice(half), stage);
  return one || other;
}

// `stage`: 'first', a batch that meets a unique value which another document has waits as a whole; 'waiting', all that waits is one batch, halved until the documents
// are found that cannot go back; 'last', those are told of. Yields whether anything was written.
function undoBatch(ns, items, stage) {
  for (let tries = 0; items.length > 0;) {
    let outcome = null;
    try {
      outcome = undoWrites ? undoTransaction(ns, items) : undoDryRun(ns, items);
    } catch (error) {
      if (undoCannotHold(error)) {
        if (items.length > 1) return undoHalves(ns, items, stage);
        undoConflict(items[0], undoInexact);
        return false;
      }
      if (!undoHas(error, 'TransientTransactionError') || ++tries > 20) throw error;
      sleep(20 * tries);
      continue;
    }
    if (outcome.refused.length === 0) {
      undoTell(outcome.look);
      return undoWrites && outcome.look.write.length > 0;
    }
    if (outcome.unique && stage === 'waiting' && items.length > 1) return undoHalves(ns, items, stage);
    if (outcome.unique && stage !== 'last') {
      undoWaiting[ns] = (undoWaiting[ns] || []).concat(items);
      return false;
    }
    const rest = [];
    for (let i = 0; i < items.length; i++) if (!outcome.refused.includes(items[i])) rest.push(items[i]);
    for (let i = 0; i < outcome.refused.length; i++) undoConflict(outcome.refused[i], outcome.reason);
    items = rest;
  }
  return false;
}
function undoTell(look) {
  for (let i = 0; i < look.write.length; i++) undoCount(look.write[i], look.write[i].target === null ? 'deleted' : look.write[i].now === null ? 'inserted' : 'restored');
  for (let i = 0; i < look.already.length; i++) undoCount(look.already[i], 'already');
  for (let i = 0; i < look.changed.length; i++) undoConflict(look.changed[i], 'has changed since the chain\'s end');
}

function undoAll() {
  const file = undoFs.openSync(undoPath.join(undoDirectory, 'undo.jsonl'), 'r');
  const buffer = Buffer.alloc(1 << 20);
  let parts = [], batch = [], size = 0, ns = '';
  for (let got = 1; got > 0;) {
    got = undoFs.readSync(file, buffer, 0, buffer.length, null);
    for (let at = 0; at < got;) {
      const end = buffer.subarray(0, got).indexOf(10, at);
      parts.push(Buffer.from(buffer.subarray(at, end < 0 ? got : end)));
      if (end < 0) break;
      at = end + 1;
      const line = Buffer.concat(parts).toString('utf8');
      parts = [];
      const plain = JSON.parse(line), item = { ns: plain.ns, idText: plain.id || JSON.stringify(plain._id), now: plain.now, bytes: plain.bytes, size: line.length };
      let typed = null;
      try {
        typed = EJSON.parse(line, { relaxed: false });
      } catch (error) {
        undoConflict(item, undoInexact);
        continue;
      }
      item.id = typed._id;
      item.target = typed.target;
      if (plain.marked) {
        item.id = undoUnmark(typed._id);
        item.target = undoUnmark(typed.target);
      }
      if (batch.length > 0 && (item.ns !== ns || batch.length === undoMost || size + item.size > undoMostBytes)) {
        undoBatch(ns, batch, 'first');
        batch = [];
        size = 0;
      }
      ns = item.ns;
      batch.push(item);
      size += item.size;
    }
  }
  if (batch.length > 0) undoBatch(ns, batch, 'first');
  undoFs.closeSync(file);
  // What waited for unique values that documents of other batches had.
  for (let progress = true; progress;) {
    progress = false;
    const waiting = undoWaiting, names = Object.keys(waiting);
    undoWaiting = {};
    for (let i = 0; i < names.length; i++) progress = undoBatch(names[i], waiting[names[i]], 'waiting') || progress;
  }
  const names = Object.keys(undoWaiting);
  for (let i = 0; i < names.length; i++) undoBatch(names[i], undoWaiting[names[i]], 'last');
  const all = Object.keys(undoCounts);
  for (let i = 0; i < all.length; i++) {
    const c = undoCounts[all[i]];
    print(all[i] + ': ' + c.restored + ' restored, ' + c.deleted + ' deleted, ' + c.inserted + ' inserted, ' + c.already + ' already, ' + c.conflict + ' conflict');
  }
  print(undoWrites ? 'done' : 'a dry run: nothing has been written; APPLY=1 mongosh … does');
}
undoAll();
)js";

} // namespace oplog::tools
