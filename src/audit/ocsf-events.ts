/**
 * What each of our events is in OCSF 1.8.0 (schema.ocsf.io): its class, its activity and what it is
 * about. Entity Management (3004) is for what is kept, API Activity (6003) for what is only read.
 */

/** What an event did to which kind of thing. */
interface Managed {
  readonly class: 'entity_management';
  readonly activity: keyof typeof ACTIVITIES.entity_management;
  readonly entity: string;
  /** The activity where all records of the body are of one status. */
  readonly of_status?: Readonly<Record<string, Managed['activity']>>;
}

interface Asked {
  readonly class: 'api_activity';
  readonly activity: keyof typeof ACTIVITIES.api_activity;
}

export type OcsfEvent = Managed | Asked;

export const CLASSES = {
  base_event: { uid: 0, name: 'Base Event', category: { uid: 0, name: 'Uncategorized' } },
  entity_management: {
    uid: 3004,
    name: 'Entity Management',
    category: { uid: 3, name: 'Identity & Access Management' },
  },
  api_activity: {
    uid: 6003,
    name: 'API Activity',
    category: { uid: 6, name: 'Application Activity' },
  },
} as const;

export const ACTIVITIES = {
  base_event: { Other: 99 },
  entity_management: {
    Create: 1,
    Update: 3,
    Delete: 4,
    Enroll: 6,
    Unenroll: 7,
    Enable: 8,
    Disable: 9,
  },
  api_activity: { Read: 2 },
} as const;

const does = (activity: Managed['activity'], entity: string): Managed => ({
  class: 'entity_management',
  activity,
  entity,
});

const CONSENT: Managed = {
  ...does('Update', 'Consent'),
  of_status: { given: 'Enroll', withdrawn: 'Unenroll' },
};

/** What overseers read, and what is asked and answered without anything being kept of it. */
const READS = [
  'listDatasets',
  'getDataset',
  'listDatasetVersions',
  'getDatasetVersion',
  'listConsentRecords',
  'getConsent',
  'listOrganisations',
  'getOrganisation',
  'listAgreements',
  'getAgreement',
  'listProjects',
  'getProject',
  'listRegistrations',
  'getRegistration',
  'listAuthorisations',
  'getAuthorisation',
  'getPack',
  'listPolicies',
  'listPolicyDrafts',
  'listPolicyTemplates',
  'listPolicyVersions',
  'getPolicyVersion',
  'getPolicyStatus',
  'getPolicyImpact',
  'getPolicyImpactChanges',
  'listFacts',
  'listTerms',
  'listDatasetAccess',
  'listSpaces',
  'getSpace',
  'listSpaceEntities',
  'getAccessTask',
  'listAccessRequests',
  'getAccessRequest',
  'getDecision',
  'replayDecision',
  'getDecisionExplanation',
  'getRecordOfProcessing',
  'listEvents',
  'searchEvents',
  'exportEvents',
  'getEvent',
  'getEventProof',
  'getLogStatus',
  'getCutOff',
  'getCutOffRequests',
  'listErasures',
  'getErasure',
  'listHolds',
  'readEntries',
  'searchSubjects',
  'searchResources',
  'searchActions',
  'searchSubjectsInSpace',
  'searchResourcesInSpace',
  'searchActionsInSpace',
  'simulateDecision',
] as const;

const READ: Asked = { class: 'api_activity', activity: 'Read' };

export const OCSF_EVENTS: Readonly<Record<string, OcsfEvent>> = {
  registerDataset: does('Create', 'Dataset'),
  changeDataset: does('Update', 'Dataset'),
  retireDataset: does('Delete', 'Dataset'),
  recordConsent: CONSENT,
  recordConsents: CONSENT,
  registerOrganisation: does('Create', 'Organisation'),
  changeOrganisation: does('Update', 'Organisation'),
  registerAgreement: does('Create', 'Agreement'),
  changeAgreement: does('Update', 'Agreement'),
  registerProject: does('Create', 'Project'),
  changeProject: does('Update', 'Project'),
  registerRegistration: does('Create', 'Registration'),
  changeRegistration: does('Update', 'Registration'),
  registerAuthorisation: does('Create', 'Authorisation'),
  changeAuthorisation: does('Update', 'Authorisation'),
  reloadPack: does('Update', 'Pack'),
  enterPolicyVersion: does('Enable', 'Policy'),
  draftPolicy: does('Create', 'Policy'),
  changePolicyDraft: does('Update', 'Policy'),
  checkPolicyVersion: does('Update', 'Policy'),
  approvePolicyVersion: does('Enable', 'Policy'),
  withdrawPolicyVersion: does('Disable', 'Policy'),
  assessPolicyImpact: does('Create', 'PolicyImpact'),
  assessCutOff: does('Create', 'CutOff'),
  registerSpace: does('Create', 'Space'),
  changeSpace: does('Update', 'Space'),
  retireSpace: does('Delete', 'Space'),
  changeSpaceEntities: does('Update', 'Space'),
  requestErasure: does('Create', 'Erasure'),
  approveErasure: does('Enable', 'Erasure'),
  refuseErasure: does('Disable', 'Erasure'),
  withdrawErasure: does('Disable', 'Erasure'),
  expireErasure: does('Disable', 'Erasure'),
  placeHold: does('Create', 'LegalHold'),
  liftHold: does('Disable', 'LegalHold'),
  turnLog: does('Create', 'Log'),
  submitAccessRequest: does('Create', 'AccessRequest'),
  evaluateAccess: does('Create', 'Decision'),
  evaluateAccesses: does('Create', 'Decision'),
  evaluateAccessInSpace: does('Create', 'Decision'),
  ...Object.fromEntries(READS.map((type) => [type, READ])),
};
