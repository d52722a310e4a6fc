// An SMSC on loopback, of node-smpp: it takes what it is given, sends receipts, and says on standard
// output, a JSON object a line, what happened. `smsc.js SYSTEM_ID PASSWORD [KEY CERTIFICATE]`: with
// the two files (PEM) it speaks TLS.
//
// What is written to its standard input, a JSON object a line, it does: {"throttle": N} refuses the
// next N submissions with ESME_RTHROTTLED, {"drop": true} closes all connections, {"deliver": {…}}
// sends a deliver_sm whose short_message is {"udh": "hex", "text": "…"}.
import fs from "node:fs";
import readline from "node:readline";
import smpp from "smpp";

const [systemId, password, key, certificate] = process.argv.slice(2);
const sessions = new Set();
let throttle = 0;
let number = 0;

const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

const secrets = key && {
  key: fs.readFileSync(key),
  cert: fs.readFileSync(certificate),
};
const server = smpp.createServer(secrets ?? {}, (session) => {
  sessions.add(session);
  session.on("close", () => sessions.delete(session));
  session.on("error", () => {});
  session.on("bind_transceiver", (pdu) => {
    const right = pdu.system_id === systemId && pdu.password === password;
    session.send(
      pdu.response(right ? {} : { command_status: smpp.ESME_RBINDFAIL }),
    );
    say({ type: right ? "bound" : "refused", version: pdu.interface_version });
  });
  session.on("enquire_link", (pdu) => session.send(pdu.response()));
  session.on("unbind", (pdu) => {
    session.send(pdu.response());
    session.close();
  });
  session.on("deliver_sm_resp", (pdu) =>
    say({ type: "deliver_answered", status: pdu.command_status }),
  );
  session.on("submit_sm", (pdu) => {
    if (throttle > 0) {
      throttle -= 1;
      session.send(pdu.response({ command_status: smpp.ESME_RTHROTTLED }));
      say({ type: "throttled" });
      return;
    }
    number += 1;
    const id = `id${number}`;
    session.send(pdu.response({ message_id: id }));
    const message = pdu.short_message;
    say({
      type: "submitted",
      id,
      from: pdu.source_addr,
      from_kind: pdu.source_addr_ton,
      to: pdu.destination_addr,
      to_kind: pdu.dest_addr_ton,
      coding: pdu.data_coding,
      receipt: pdu.registered_delivery,
      text: message.message ?? message,
    });
    session.deliver_sm({
      source_addr: pdu.destination_addr,
      destination_addr: pdu.source_addr,
      esm_class: smpp.ESM_CLASS.MC_DELIVERY_RECEIPT,
      short_message: `id:${id} sub:001 dlvrd:001 submit date:2608291200 done date:2608291200 stat:DELIVRD err:000 text:`,
    });
  });
});

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  throttle = command.throttle ?? throttle;
  if (command.deliver) {
    const { udh, text, ...pdu } = command.deliver;
    const header = udh ? { udh: Buffer.from(udh, "hex") } : {};
    for (const session of sessions) {
      session.deliver_sm({
        dest_addr_ton: 1,
        dest_addr_npi: 1,
        source_addr_npi: 1,
        esm_class: udh ? smpp.ESM_CLASS.UDH_INDICATOR : 0,
        ...pdu,
        short_message: { ...header, message: text },
      });
    }
  }
  if (command.drop) {
    for (const session of sessions) {
      session.close();
    }
  }
});
process.stdin.on("end", () => process.exit(0));

server.listen(0, "127.0.0.1", () =>
  say({ type: "listening", port: server.address().port }),
);
