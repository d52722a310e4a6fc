// The engine's API: the generated types of `docs/rpc.d.ts`, as the page meets them.
//
// Always: the engine leaves out what is absent, and writes no `null`.

import type * as api from '../../../docs/rpc'

type Known<T> = T extends readonly (infer Item)[]
  ? Known<Item>[]
  : T extends object
    ? { [Name in keyof T]: Known<Exclude<T[Name], null>> }
    : T

export type Account = Known<api.Account>
export type Alarm = Known<api.Alarm>
export type Attachment = Known<api.Attachment>
export type Auditor = Known<api.Auditor>
export type Contact = Known<api.Contact>
export type Conversation = Known<api.Conversation>
export type Device = Known<api.Device>
export type Entry = Known<api.Entry>
export type EventKind = api.EventKind
export type Group = Known<api.Group>
export type GroupMember = Known<api.GroupMember>
export type LinkPreview = Known<api.LinkPreview>
export type Message = Known<api.Message>
export type MessageId = api.MessageId
export type MessageInfo = Known<api.MessageInfo>
export type PairingStage = api.PairingStage
export type ProblemReport = Known<api.ProblemReport>
export type SafetyNumber = Known<api.SafetyNumber>
export type SealedFile = Known<api.SealedFile>
export type Span = Known<api.Span>
export type SmsFinding = Known<api.SmsFinding>
export type Status = Known<api.Status>

export type Method = keyof api.Methods
export type Params<M extends Method> = api.Methods[M]['params']
export type Result<M extends Method> = Known<api.Methods[M]['result']>
export type SmsQuote = Result<'quote_sms'>
export type DoctorCheck = Result<'doctor'>['checks'][number]

export type Notice = Known<api.Notice> | { type: 'missed' }
