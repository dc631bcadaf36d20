// Two people talk in an encrypted room, with matrix-js-sdk as their client.
//
//     node talk.mjs URL FOLDER
//
// URL is that of the homeserver, or of what is before it; FOLDER has the SDK in its node_modules. Prints what the second
// person read, and ends with an exit code other than 0 if it does not come to that.

import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const WORDS = "meet me at the toll gate";

const [baseUrl, folder] = process.argv.slice(2);
const sdk = await import(pathToFileURL(createRequire(`${folder}/`).resolve("matrix-js-sdk")));
// Standard output is for the result; what the SDK thinks of the world is for whoever looks into a failure.
for (const level of ["trace", "debug", "info", "log"]) console[level] = console.error;

/** A client that is logged in, ready to encrypt, and has seen its first sync. */
async function enter(name) {
    const username = `${name}-${randomUUID()}`;
    const password = randomUUID();
    const anyone = sdk.createClient({ baseUrl });
    await anyone.registerRequest({ username, password, auth: { type: "m.login.dummy" }, inhibit_login: true });
    const identifier = { type: "m.id.user", user: username };
    const login = await anyone.loginRequest({ type: "m.login.password", identifier, password });
    const client = sdk.createClient({
        baseUrl,
        accessToken: login.access_token,
        userId: login.user_id,
        deviceId: login.device_id,
    });
    await client.initRustCrypto({ useIndexedDB: false });
    const synced = event(client, sdk.ClientEvent.Sync, (state) => state === "PREPARED");
    await client.startClient();
    await synced;
    return client;
}

/** The arguments of the next event of a client for which a condition holds. */
function event(client, name, holds) {
    return new Promise((resolve) => {
        client.on(name, function listener(...args) {
            if (!holds(...args)) return;
            client.off(name, listener);
            resolve(args);
        });
    });
}

const alice = await enter("alice");
const bob = await enter("bob");

const joined = event(alice, sdk.RoomMemberEvent.Membership, (_, { userId, membership }) => {
    return userId === bob.getUserId() && membership === "join";
});
const invited = event(bob, sdk.RoomMemberEvent.Membership, (_, { userId, membership }) => {
    return userId === bob.getUserId() && membership === "invite";
});
const heard = event(bob, sdk.MatrixEventEvent.Decrypted, (message) => message.getContent().body === WORDS);

const { room_id: room } = await alice.createRoom({
    name: "Toll gate",
    invite: [bob.getUserId()],
    initial_state: [
        { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } },
    ],
});
await invited;
await bob.joinRoom(room);
await joined;
await alice.sendTextMessage(room, WORDS);
const [message] = await heard;
if (!message.isEncrypted()) throw new Error("the message was not encrypted");

alice.stopClient();
bob.stopClient();
console.error("done");
process.stdout.write(`${message.getContent().body}\n`, () => process.exit(0));
